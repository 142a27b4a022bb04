import { join, relative, sep } from "node:path";

import type { Places } from "./places.ts";
import { expandHome } from "./places.ts";
import type { SectionReader } from "./section-reader.ts";
import type { StoreKeySource } from "./settings.ts";
import type { StoreKeyText } from "./values.ts";

/** Where a section keeps its store and the key of it. */
export interface SectionPaths {
  readonly dataDirectory: string;
  readonly storeKey: StoreKeySource;
}

/**
 * Reads `DataDirectory`, `StoreKey`, `UseKeyring` and `GenerationFile`; null where they cannot be
 * used, which is then among the reader's problems.
 */
export function readPaths(reader: SectionReader, places: Places): SectionPaths | null {
  // Through a buffer, because encodeURIComponent throws on half a surrogate pair.
  const fileName = encodeURIComponent(Buffer.from(reader.name).toString());
  const own = join(places.configHome, "kirjava");
  const directory = reader.get("DataDirectory");
  const base =
    directory === null ? join(places.dataHome, "kirjava") : expandHome(directory, places);

  const chosen = chooseKey(reader, join(own, `${fileName}.key`));
  if (chosen === null) return null;
  const path = chosen.kind === "file" ? expandHome(chosen.path, places) : null;
  const given = reader.get("GenerationFile");
  const generationPath =
    given === null
      ? besideKey(path ?? join(own, `${fileName}.key`), fileName)
      : expandHome(given, places);

  for (const name of ["StoreKey", "GenerationFile"] as const) {
    const file = name === "StoreKey" ? path : generationPath;
    if (file === null || !isInside(file, base)) continue;
    const message = `expected a file outside of the data directory ${base}, got ${file}`;
    reader.report(name, message, "what is kept beside the store is lost and copied with it");
    return null;
  }
  const dataDirectory = join(base, fileName);
  if (chosen.kind === "file") {
    return { dataDirectory, storeKey: { ...chosen, path: path ?? chosen.path, generationPath } };
  }
  return { dataDirectory, storeKey: { ...chosen, generationPath } };
}

// UseKeyring is pantalaimon's way to say StoreKey; what a section says itself overrides what it inherits.
function chooseKey(reader: SectionReader, defaultPath: string): StoreKeyText | null {
  const key = reader.find("StoreKey");
  const keyring = reader.find("UseKeyring");
  if (key !== null && (keyring === null || keyring.value === (key.value.kind === "keyring"))) {
    return key.value;
  }
  if (key !== null && keyring !== null) {
    if (key.origin === keyring.origin) {
      const written = keyring.value ? "Yes" : "No";
      const message = `expected the same as UseKeyring = ${written} says, got ${key.value.kind}:`;
      reader.report("StoreKey", message, "keep StoreKey and remove UseKeyring");
      return null;
    }
    if (key.origin === "section") return key.value;
  }
  if (keyring?.value === true) return { kind: "keyring", account: reader.name };
  return { kind: "file", path: defaultPath };
}

// Sections may share a key's file, never the number.
function besideKey(keyPath: string, fileName: string): string {
  const isOwn = keyPath.endsWith(`${sep}${fileName}.key`);
  return isOwn ? `${keyPath.slice(0, -4)}.generation` : `${keyPath}.${fileName}.generation`;
}

function isInside(file: string, directory: string): boolean {
  const way = relative(directory, file);
  return way !== ".." && !way.startsWith(`..${sep}`);
}
