import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The version in package.json, which is one directory further up from the compiled file. */
export function version(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  for (let depth = 0; depth < 3; depth++) {
    directory = dirname(directory);
    try {
      const text = readFileSync(join(directory, "package.json"), "utf8");
      const manifest = JSON.parse(text) as { name?: unknown; version?: unknown };
      if (manifest.name === "kirjava" && typeof manifest.version === "string") {
        return manifest.version;
      }
    } catch {
      // No package.json here: it is further up.
    }
  }
  return "unknown";
}
