// Writes what documents take from the code: the keys in docs/configuration.md, the commands in
// docs/cli.md, the table in docs/endpoints.md, and pantalaimon.conf.example. Runs from dist/, which it builds where it is out of date.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureBuilt, ensureInstalled, root } from "./bootstrap.mjs";

ensureInstalled();
ensureBuilt();
const { exampleFile, keysAsMarkdown, replacePart } =
  await import("../dist/proxy/config/documentation.js");
const { commandsAsMarkdown } = await import("../dist/cli/documentation.js");
const { endpointsAsMarkdown } = await import("../dist/proxy/matrix/endpoint-notes.js");

for (const [path, name, part] of [
  ["docs/configuration.md", "keys", keysAsMarkdown()],
  ["docs/cli.md", "commands", commandsAsMarkdown()],
  ["docs/endpoints.md", "endpoints", endpointsAsMarkdown()],
]) {
  const file = join(root, path);
  writeFileSync(file, replacePart(readFileSync(file, "utf8"), name, part));
}
writeFileSync(join(root, "pantalaimon.conf.example"), exampleFile());
