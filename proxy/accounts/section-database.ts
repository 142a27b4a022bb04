import { renameSync } from "node:fs";
import { join } from "node:path";
import type { Database } from "better-sqlite3";
import type { Logger } from "pino";
import { describeError, DirectoryLock, StoreError } from "../../crypto-store/index.ts";
import type { MasterKey } from "../config/store-key.ts";
import { isPresent, removeDurably, renameDurably, syncDirectory } from "./durable-file.ts";
import { GenerationRecord } from "./generation-record.ts";
import type { Generation } from "./generation-record.ts";
import { KeyUnwrapError, KeyWrapper } from "./key-wrapping.ts";
import { writeSectionKey } from "./section-key.ts";
import type { SectionKey } from "./section-key.ts";
import { SectionLayout, wrongMaster } from "./section-layout.ts";

export interface SectionDatabaseOptions {
  /** Data directory of this section alone; made with mode 0700 where it is missing. */
  readonly directory: string;
  readonly master: MasterKey;
  readonly logger: Logger;
}

/**
 * Why the store is taken for an old copy that was put back:
 * - `older`: its generation is lower than the one beside the master key;
 * - `record-missing`: nothing beside the master key vouches for it;
 * - `unknown-device-file`: a device's store lies in the directory that the database does not know.
 */
export interface RollbackFacts {
  readonly reason: "older" | "record-missing" | "unknown-device-file";
  /** The generation of the database. */
  readonly found: number;
  /** The generation that was last used; `null` where that is not known. */
  readonly expected: number | null;
  /** The file that shows it. */
  readonly path: string;
}

/** The durable steps of {@link SectionDatabase.rotateMasterKey}, in order; a crash may fall after each. */
export type RotationStep = "recorded" | "prepared" | "rewrapped" | "switched" | "forgotten";

/**
 * The main database of one homeserver section: one encrypted SQLite file and the key that opens it.
 * Synchronous, main thread only; whatever several devices share lives in it.
 *
 * What the generation number can show: every open, clean close and {@link raiseGeneration} makes all
 * earlier copies recognisable. A copy made since the last of these, put back after the process was
 * killed, is not.
 */
export class SectionDatabase {
  readonly layout: SectionLayout;
  /** For prepared statements of the classes that keep their tables here. */
  readonly connection: Database;
  readonly #logger: Logger;
  readonly #lock: DirectoryLock;
  readonly #section: SectionKey;
  #wrapper: KeyWrapper;
  #record: GenerationRecord;
  #rollback: RollbackFacts | null = null;

  private constructor(
    parts: Pick<SectionDatabase, "layout" | "connection"> & { section: SectionKey },
    master: MasterKey,
    lock: DirectoryLock,
    logger: Logger,
  ) {
    this.layout = parts.layout;
    this.connection = parts.connection;
    this.#section = parts.section;
    this.#lock = lock;
    this.#logger = logger;
    this.#wrapper = new KeyWrapper(master.bytes);
    this.#record = new GenerationRecord(master.generationPath);
  }

  /**
   * Opens the section's store; makes it where the directory is empty and nothing says that it was not.
   *
   * @throws StoreError with a message that names the file and the fix; nothing is overwritten
   */
  static open(options: SectionDatabaseOptions): SectionDatabase {
    const { master, logger } = options;
    const layout = SectionLayout.prepare(options.directory);
    const lock = DirectoryLock.acquire(layout.directory);
    try {
      const wrapper = new KeyWrapper(master.bytes);
      const section = layout.openKey(master, wrapper);
      const connection = layout.openDatabase(section.key);
      try {
        settleRotation(layout, connection, wrapper, section.viaNext);
        const database = new SectionDatabase({ layout, connection, section }, master, lock, logger);
        database.#checkGeneration();
        return database;
      } catch (error) {
        connection.close();
        // Damaged pages show only now, when rows are read.
        throw describeError(error, layout.database);
      }
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** True where the store is older than the last one used: nothing may be encrypted with it. */
  get rolledBack(): boolean {
    return this.#rollback !== null;
  }

  /** The facts behind {@link rolledBack}; `null` where all is well. */
  get rollback(): RollbackFacts | null {
    return this.#rollback;
  }

  /** The generation of the database as it is now. */
  get generation(): number {
    return Number(readValue(this.connection, "generation"));
  }

  /**
   * Makes every copy made until now recognisable. Two commits to disk; for a timer, not for each message.
   * Does nothing while {@link rolledBack}, so that the alarm does not wear off.
   */
  raiseGeneration(): void {
    if (this.#rollback === null) this.#raise();
  }

  /**
   * The operator has decided to go on with an old copy, and what it could reuse (outbound room keys, Olm
   * sessions) has been discarded. Stores of devices that the database does not know are set aside.
   */
  acceptRollback(): void {
    for (const name of this.#unknownDeviceFiles()) {
      const path = join(this.layout.devices, name);
      renameSync(path, `${path}.unclaimed`);
    }
    syncDirectory(this.layout.devices);
    this.#raise();
    this.#rollback = null;
  }

  /** Wraps a file's key under the master key. */
  wrap(key: Uint8Array, purpose: readonly string[]): Buffer {
    return this.#wrapper.wrap(key, purpose);
  }

  /** @throws StoreError `STORE_CORRUPT` where the wrapped key was changed or belongs to another row */
  unwrap(wrapped: Uint8Array, purpose: readonly string[]): Buffer {
    try {
      return this.#wrapper.unwrap(wrapped, purpose);
    } catch (error) {
      if (!(error instanceof KeyUnwrapError)) throw error;
      throw new StoreError(
        "STORE_CORRUPT",
        this.layout.database,
        `the wrapped key of ${purpose[0] ?? "a file"} does not open (${error.reason}): restore the database from a backup`,
        { cause: error },
      );
    }
  }

  /** Runs work in one immediate transaction, durable when it returns. A promise returned by it is an error. */
  transaction<T>(work: () => T): T {
    return this.connection.transaction(work).immediate();
  }

  /** Empties the write-ahead log, so that overwritten rows are found nowhere in it. */
  checkpoint(): void {
    this.connection.pragma("wal_checkpoint(TRUNCATE)");
  }

  /**
   * Wraps every key under another master key. After it the old master key opens nothing of this store;
   * the caller destroys it. After a crash at any point exactly one of the two master keys opens the
   * store, and opening it with the other says so.
   *
   * @param onStep told of each durable step when it is done
   */
  rotateMasterKey(master: MasterKey, onStep?: (step: RotationStep) => void): void {
    const next = new KeyWrapper(master.bytes);
    if (next.masterId === this.#wrapper.masterId) {
      throw new RangeError("expected a new master key, got the one in use");
    }
    if (this.#rollback !== null) {
      throw new Error(
        "expected the newest store, got an old copy: put back the newest or accept this one first",
      );
    }
    const { sectionId } = this.#section;
    const record = new GenerationRecord(master.generationPath);
    record.readFor(sectionId);
    const old = this.#record;
    record.write({
      sectionId,
      generation: Math.max(this.generation, this.#readRecord()?.generation ?? 0),
      directory: this.layout.directory,
    });
    onStep?.("recorded");
    writeSectionKey(this.layout.nextKey, this.#section, next);
    onStep?.("prepared");
    this.transaction(() => this.#rewrap(next));
    this.#wrapper = next;
    this.#record = record;
    onStep?.("rewrapped");
    renameDurably(this.layout.nextKey, this.layout.key);
    this.checkpoint();
    onStep?.("switched");
    if (old.path !== record.path) old.remove();
    onStep?.("forgotten");
  }

  /** Closes the file and gives the lock back. */
  close(): void {
    try {
      this.raiseGeneration();
    } finally {
      this.connection.close();
      this.#lock.release();
    }
  }

  #rewrap(next: KeyWrapper): void {
    const rows = this.connection
      .prepare<[], WrappedRow>(
        "SELECT id, user_id, device_id, file_name, wrapped_key FROM device_file WHERE wrapped_key IS NOT NULL",
      )
      .all();
    const update = this.connection.prepare("UPDATE device_file SET wrapped_key = ? WHERE id = ?");
    for (const row of rows) {
      const purpose = deviceKeyPurpose(row);
      update.run(next.wrap(this.unwrap(row.wrapped_key, purpose), purpose), row.id);
    }
    writeValue(this.connection, "master_id", next.masterId);
  }

  #checkGeneration(): void {
    const found = this.generation;
    const expected = this.#readRecord()?.generation ?? null;
    const [unknown] = this.#unknownDeviceFiles();
    if (expected === null) {
      this.#alarm({ reason: "record-missing", found, expected, path: this.#record.path });
    } else if (found < expected) {
      this.#alarm({ reason: "older", found, expected, path: this.#record.path });
    } else if (unknown !== undefined) {
      const path = join(this.layout.devices, unknown);
      this.#alarm({ reason: "unknown-device-file", found, expected, path });
    } else {
      this.#raise();
    }
  }

  #alarm(facts: RollbackFacts): void {
    this.#rollback = facts;
    this.#logger.error(
      { ...facts, database: this.layout.database },
      "the store is older than the last one used, or nothing shows that it is not: nothing is encrypted with it. put the newest copy back, together with the record beside the master key",
    );
  }

  #raise(): void {
    const { sectionId } = this.#section;
    const { directory } = this.layout;
    const generation = Math.max(this.generation, this.#readRecord()?.generation ?? 0) + 1;
    // Database first: after a crash in between it is ahead of the record, which is no sign of an old
    // copy. The other way round it would look like one.
    writeValue(this.connection, "generation", generation);
    this.#record.write({ sectionId, generation, directory });
  }

  #readRecord(): Generation | null {
    return this.#record.readFor(this.#section.sectionId);
  }

  #unknownDeviceFiles(): string[] {
    const names = this.layout.deviceFileNames();
    if (names.length === 0) return names;
    const known = new Set(
      this.connection.prepare<[], string>("SELECT file_name FROM device_file").pluck().all(),
    );
    return names.filter((name) => !known.has(name));
  }
}

interface WrappedRow {
  readonly id: number;
  readonly user_id: string;
  readonly device_id: string;
  readonly file_name: string;
  readonly wrapped_key: Buffer;
}

/** What the key of a device's store is bound to: it opens for this device and this file only. */
export function deviceKeyPurpose(row: {
  readonly user_id: string;
  readonly device_id: string;
  readonly file_name: string;
}): readonly string[] {
  return ["device store", row.user_id, row.device_id, row.file_name];
}

/** Completes or undoes a change of the master key that a crash cut short. */
function settleRotation(
  layout: SectionLayout,
  connection: Database,
  wrapper: KeyWrapper,
  viaNext: boolean,
): void {
  // The rows and this value changed in one transaction: it says which master key is in force.
  const inForce = String(readValue(connection, "master_id"));
  if (inForce !== wrapper.masterId) throw wrongMaster(layout.key, inForce, wrapper.masterId);
  if (viaNext) renameDurably(layout.nextKey, layout.key);
  else if (isPresent(layout.nextKey)) removeDurably([layout.nextKey]);
}

function readValue(connection: Database, name: string): unknown {
  return connection
    .prepare<[string]>("SELECT value FROM section_value WHERE name = ?")
    .pluck()
    .get(name);
}

function writeValue(connection: Database, name: string, value: string | number): void {
  connection
    .prepare(
      "INSERT INTO section_value (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .run(name, value);
}
