import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { StoreError } from "../../crypto-store/index.ts";
import {
  codeOf,
  readIfPresent,
  removeDurably,
  syncDirectory,
  writeDurably,
} from "./durable-file.ts";

/** What is written beside the master key about one section. */
export interface Generation {
  /** Which store it is about, 32 hex digits. */
  readonly sectionId: string;
  /** The generation that the section's database must have at least. */
  readonly generation: number;
  /** The data directory of the section when it was last open. */
  readonly directory: string;
}

const LINE = /^kirjava-generation 1 ([0-9a-f]{32}) (\d{1,15}) (".*")\n$/;

/**
 * The generation number of one section, kept beside the master key and away from the data, so that an
 * old copy of the data is noticed. Sections may share a master key, never this file.
 */
export class GenerationRecord {
  readonly path: string;

  /** @param path `MasterKey.generationPath` */
  constructor(path: string) {
    this.path = path;
  }

  /**
   * `null` where there is none: nothing vouches for the data then.
   *
   * @throws StoreError `STORE_CORRUPT` where the file is something else, `STORE_UNSAFE` where it cannot be read
   */
  read(): Generation | null {
    const text = this.#guard("read", () => readIfPresent(this.path));
    if (text === null) return null;
    const match = LINE.exec(text);
    const directory = parseString(match?.[3]);
    if (match?.[1] === undefined || directory === null) {
      throw new StoreError(
        "STORE_CORRUPT",
        this.path,
        "expected a generation record, got something else: restore it from a backup, or set GenerationFile to a file of its own",
      );
    }
    return { sectionId: match[1], generation: Number(match[2]), directory };
  }

  /**
   * The same for one section.
   *
   * @throws StoreError `STORE_CORRUPT`; `STORE_EXISTS` where the record is about another section
   */
  readFor(sectionId: string): Generation | null {
    const record = this.read();
    if (record === null || record.sectionId === sectionId) return record;
    throw new StoreError(
      "STORE_EXISTS",
      this.path,
      `is about another store, in ${record.directory}: set GenerationFile to a file of this section's own, or restore the store that it is about`,
    );
  }

  /**
   * Durable when it returns. Overwrites: read it first.
   *
   * @throws StoreError `STORE_UNSAFE` where it cannot be written
   */
  write(value: Generation): void {
    const { sectionId, generation, directory } = value;
    const line = `kirjava-generation 1 ${sectionId} ${generation} ${JSON.stringify(directory)}\n`;
    this.#guard("written", () => {
      const home = dirname(this.path);
      if (mkdirSync(home, { recursive: true, mode: 0o700 }) !== undefined) {
        syncDirectory(dirname(home));
      }
      writeDurably(this.path, line);
    });
  }

  remove(): void {
    removeDurably([this.path]);
  }

  #guard<T>(what: "read" | "written", work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw new StoreError(
        "STORE_UNSAFE",
        this.path,
        `the generation record cannot be ${what} (${codeOf(error)}): expected a plain file that this user can write, see GenerationFile`,
        { cause: error },
      );
    }
  }
}

function parseString(json: string | undefined): string | null {
  if (json === undefined) return null;
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "string" ? value : null;
  } catch {
    return null;
  }
}
