import { chmodSync, mkdirSync, readdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Database } from "better-sqlite3";
import { openDatabase, StoreError } from "../../crypto-store/index.ts";
import type { MasterKey } from "../config/store-key.ts";
import { isPresent, removeDurably, renameDurably } from "./durable-file.ts";
import { GenerationRecord } from "./generation-record.ts";
import type { KeyWrapper } from "./key-wrapping.ts";
import { newSectionKey, readSectionKey, writeSectionKey } from "./section-key.ts";
import type { SectionKey } from "./section-key.ts";
import { SECTION_APPLICATION_ID, sectionMigrations } from "./section-schema.ts";

const DEVICE_FILE = /^[0-9a-f]{32}\.db$/;

/** The names in one section's data directory. */
export class SectionLayout {
  /** The data directory, with symbolic links resolved: what a generation record names. */
  readonly directory: string;
  readonly devices: string;
  readonly database: string;
  readonly key: string;
  /** The key under the next master key, while the master key is being changed. */
  readonly nextKey: string;
  /** The database while it is being made: nothing in it was ever used. */
  readonly unborn: string;

  private constructor(directory: string) {
    this.directory = directory;
    this.devices = join(directory, "devices");
    this.database = join(directory, "section.db");
    this.key = join(directory, "section.key");
    this.nextKey = join(directory, "section.key.next");
    this.unborn = join(directory, "section.db.new");
  }

  /**
   * Makes the directory where it is missing; takes group's and others' rights off it.
   *
   * @throws StoreError `STORE_UNSAFE` where it belongs to another user
   */
  static prepare(path: string): SectionLayout {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const directory = realpathSync(path);
    restrict(directory);
    const layout = new SectionLayout(directory);
    mkdirSync(layout.devices, { mode: 0o700, recursive: true });
    restrict(layout.devices);
    return layout;
  }

  /** Names of the device stores that lie in the directory. */
  deviceFileNames(): string[] {
    return readdirSync(this.devices).filter((name) => DEVICE_FILE.test(name));
  }

  /**
   * Opens the section's key, and makes key and database where the directory is empty.
   * What is half there is completed only where nothing in it can have been used.
   *
   * @throws StoreError `STORE_MISSING`, `STORE_WRONG_KEY`, `STORE_CORRUPT`, `STORE_TOO_NEW`; nothing is overwritten
   */
  openKey(master: MasterKey, wrapper: KeyWrapper): SectionKey & { readonly viaNext: boolean } {
    const [hasKey, hasDatabase] = [isPresent(this.key), isPresent(this.database)];
    if (!hasKey && !hasDatabase) {
      this.#refuseRemains(master);
      return { ...this.#create(master, wrapper), viaNext: false };
    }
    if (!hasKey) {
      throw missing(
        this.key,
        "is missing beside section.db: restore it from a backup; without it section.db cannot be read",
      );
    }
    const section = this.#readKey(wrapper);
    if (!hasDatabase) {
      if (!isPresent(this.unborn)) {
        throw missing(
          this.database,
          `is missing beside section.key: restore it from a backup, or move ${this.directory} away to begin anew (every device then has to log in again)`,
        );
      }
      this.#complete(master, section);
    }
    return section;
  }

  /** Opens `section.db`, which must exist. @throws StoreError */
  openDatabase(key: Uint8Array): Database {
    return open(this.database, key, "existing");
  }

  #readKey(wrapper: KeyWrapper): SectionKey & { readonly viaNext: boolean } {
    const section = readSectionKey(this.key, wrapper);
    if (!("wrongMaster" in section)) return { ...section, viaNext: false };
    if (isPresent(this.nextKey)) {
      const next = readSectionKey(this.nextKey, wrapper);
      if (!("wrongMaster" in next)) return { ...next, viaNext: true };
    }
    throw wrongMaster(this.key, section.wrongMaster, wrapper.masterId);
  }

  /** An empty place must really be empty: a lost store is not replaced in silence. */
  #refuseRemains(master: MasterKey): void {
    const log = ["-wal", "-shm"].map((end) => this.database + end).find(isPresent);
    const device = this.deviceFileNames()[0];
    const remains = log ?? (device === undefined ? undefined : join(this.devices, device));
    if (remains !== undefined) {
      throw missing(
        this.database,
        `is missing, section.key too, beside ${remains}: restore both from a backup, or move ${this.directory} away to begin anew (every device then has to log in again)`,
      );
    }
    const record = new GenerationRecord(master.generationPath);
    const other = record.read();
    if (other === null) return;
    throw missing(
      this.database,
      other.directory === this.directory
        ? `is missing, and ${record.path} says that a store was here: restore or mount it, or delete ${record.path} to begin anew (every device then has to log in again)`
        : `is missing, and ${record.path} is about the store in ${other.directory}: restore that store here, or set GenerationFile to a file of this section's own`,
    );
  }

  #create(master: MasterKey, wrapper: KeyWrapper): SectionKey {
    const section = newSectionKey();
    // Left by a creation that did not come as far as writing its key: unreadable for ever.
    removeDurably(["", "-wal", "-shm"].map((end) => this.unborn + end));
    const database = open(this.unborn, section.key, "create");
    try {
      database
        .prepare(
          "INSERT INTO section_value (name, value) VALUES ('generation', 0), ('master_id', ?)",
        )
        .run(wrapper.masterId);
    } finally {
      database.close();
    }
    writeSectionKey(this.key, section, wrapper);
    this.#complete(master, section);
    return section;
  }

  /** From the key on everything can be done again after a crash; the rename is the last step. */
  #complete(master: MasterKey, section: SectionKey): void {
    open(this.unborn, section.key, "existing").close();
    const { sectionId } = section;
    const record = new GenerationRecord(master.generationPath);
    if (record.readFor(sectionId) === null) {
      record.write({ sectionId, generation: 0, directory: this.directory });
    }
    renameDurably(this.unborn, this.database);
  }
}

/** The error for a store that another master key wraps; nothing was changed. */
export function wrongMaster(path: string, expectedId: string, gotId: string): StoreError {
  return new StoreError(
    "STORE_WRONG_KEY",
    path,
    `needs master key ${expectedId}, got ${gotId}: point StoreKey at the master key that this store was made with; nothing was changed`,
  );
}

function open(path: string, key: Uint8Array, mode: "create" | "existing"): Database {
  return openDatabase({
    path,
    key,
    mode,
    applicationId: SECTION_APPLICATION_ID,
    migrations: sectionMigrations,
  });
}

function missing(path: string, message: string): StoreError {
  return new StoreError("STORE_MISSING", path, message);
}

function restrict(directory: string): void {
  const { mode, uid } = statSync(directory);
  if (process.getuid !== undefined && uid !== process.getuid()) {
    throw new StoreError(
      "STORE_UNSAFE",
      directory,
      `belongs to user id ${uid}, expected ${process.getuid()}: run as that user or change its owner`,
    );
  }
  if ((mode & 0o077) !== 0) chmodSync(directory, 0o700);
}
