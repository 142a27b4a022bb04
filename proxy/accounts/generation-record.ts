import { lstatSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import {
  hasCode,
  readIfPresent,
  removeDurably,
  syncDirectory,
  writeDurably,
} from "./durable-file.ts";

/** What is written beside the master key about one section. */
export interface Generation {
  /** The generation that the section's database must have at least. */
  readonly generation: number;
  /** The data directory of the section when it was last open. */
  readonly directory: string;
}

const LINE = /^kirjava-generation 1 (\d{1,15}) (".*")\n$/;
const SECTION_ID = /^[0-9a-f]{32}$/;

/**
 * The generation number of one section, kept beside the master key and away from the data, so that an
 * old copy of the data is noticed. One file a section in one directory: sections that share a master
 * key, be it in two daemons, never write to the same file.
 */
export class GenerationRecord {
  readonly path: string;
  readonly #home: string;

  constructor(generationPath: string, sectionId: string) {
    this.#home = generationPath;
    this.path = join(generationPath, sectionId);
  }

  /** `null` where there is none, or none that can be read: both mean that nothing vouches for the data. */
  read(): Generation | null {
    return parse(this.path);
  }

  /** Durable when it returns. */
  write(value: Generation): void {
    if (mkdirSync(this.#home, { recursive: true, mode: 0o700 }) !== undefined) {
      syncDirectory(join(this.#home, ".."));
    }
    writeDurably(
      this.path,
      `kirjava-generation 1 ${value.generation} ${JSON.stringify(value.directory)}\n`,
    );
  }

  remove(): void {
    if (lstatSync(this.#home, { throwIfNoEntry: false }) === undefined) return;
    removeDurably([this.path]);
  }

  /** The path of a record that says that a store was in this directory; `null` where there is none. */
  static forDirectory(generationPath: string, directory: string): string | null {
    let names: string[];
    try {
      names = readdirSync(generationPath);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return null;
      throw error;
    }
    for (const name of names.filter((candidate) => SECTION_ID.test(candidate))) {
      const path = join(generationPath, name);
      if (parse(path)?.directory === directory) return path;
    }
    return null;
  }
}

function parse(path: string): Generation | null {
  const match = LINE.exec(readIfPresent(path) ?? "");
  if (match?.[1] === undefined || match[2] === undefined) return null;
  try {
    const directory: unknown = JSON.parse(match[2]);
    return typeof directory === "string" ? { generation: Number(match[1]), directory } : null;
  } catch {
    return null;
  }
}
