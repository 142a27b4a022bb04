import { randomUUID } from "node:crypto";
import type { Database } from "better-sqlite3";
import { Backend } from "./backend.ts";
import { mount, unmount } from "./mounts.ts";
import { describeError, openDatabase } from "./sqlite/connection.ts";
import type { Migration } from "./sqlite/migrations.ts";
import { DEVICE_APPLICATION_ID, migrateIndexedDb } from "./sqlite/schema.ts";
import type { Turn } from "./sqlite/scheduler.ts";

/** How to open a device's file. */
export interface DeviceStoreOptions {
  readonly path: string;
  /** Raw page key, 32 bytes. */
  readonly key: Uint8Array;
  /** "create" refuses a file that is there, "existing" refuses one that is not. */
  readonly mode: "create" | "existing";
  /** The schema of the owner's own tables. Names that begin with `idb_` are taken. */
  readonly migrations: readonly Migration[];
}

/** A write of the owner's own within {@link DeviceStore.atomically}. */
export type Write = <T>(work: (database: Database) => T) => Promise<T>;

/** One device's encrypted file: the IndexedDB databases of the engine and the owner's own tables. */
export class DeviceStore {
  /**
   * Prefix of database names: `${mountName}::...`, opened through the installed factory, lives in this file. Unique to this
   * open store; the file itself does not hold it.
   */
  readonly mountName: string;
  readonly #backend: Backend;
  #closing: Promise<void> | null = null;
  #settling: Promise<void> | null = null;
  /** Resolves when the atomic work under way is over. */
  #held: Promise<void> | null = null;

  private constructor(backend: Backend) {
    this.#backend = backend;
    this.mountName = `kirjava-${randomUUID()}`;
    mount(this.mountName, backend);
  }

  /** @throws StoreError for every reason that lies in the file; nothing is overwritten then. */
  static open(options: DeviceStoreOptions): DeviceStore {
    const database = openDatabase({ ...options, applicationId: DEVICE_APPLICATION_ID });
    try {
      migrateIndexedDb(database, options.path);
      return new DeviceStore(new Backend(database, options.path));
    } catch (error) {
      database.close();
      throw describeError(error, options.path);
    }
  }

  /**
   * Runs `work` synchronously in a SQLite transaction of its own, after every IndexedDB transaction that was created before and
   * before every one created later. Durable when the promise resolves; rolled back when `work` throws.
   *
   * @throws TypeError when `work` returns a promise. StoreError when the file turns out to be damaged.
   */
  async transaction<T>(work: (database: Database) => T): Promise<T> {
    const result = await this.#exclusively(() => runInTransaction(this.#backend, work));
    await this.settled();
    return result;
  }

  /**
   * Runs `work`, whose IndexedDB transactions and writes through `write` become durable all at once or, after a crash, not at
   * all. Whatever else is done on this store meanwhile becomes durable with them, and waits for it. One at a time.
   *
   * @param work - waits for nothing that is durable only afterwards: no {@link transaction}, no {@link settled}
   */
  async atomically<T>(work: (write: Write) => Promise<T>): Promise<T> {
    if (this.#held !== null) throw new Error("expected one atomic work at a time");
    let release: () => void = () => undefined;
    this.#held = new Promise((resolve) => (release = resolve));
    this.#backend.groups += 1;
    try {
      return await work((write) => this.#exclusively(() => runInTransaction(this.#backend, write)));
    } finally {
      this.#backend.groups -= 1;
      this.#held = null;
      release();
      await this.settled();
    }
  }

  /**
   * Runs `work`, whose IndexedDB transactions are made durable together: with one write to the disk instead of one each. They are
   * durable when the promise resolves, not when they complete. So is whatever else is done on this store meanwhile: nothing of it
   * may be shown to the outside before {@link settled}.
   */
  async grouped<T>(work: () => Promise<T>): Promise<T> {
    this.#backend.groups += 1;
    try {
      return await work();
    } finally {
      this.#backend.groups -= 1;
      await this.settled();
    }
  }

  /** Resolves when everything is durable that was complete at the time of the call. */
  async settled(): Promise<void> {
    while (this.#held !== null) await this.#held;
    if (!this.#backend.hasUnsettled) return;
    if (this.#backend.scheduler.isIdle) {
      this.#backend.settle();
      return;
    }
    // Whoever comes before the turn starts is served by it.
    this.#settling ??= this.#takeTurn(
      () => {
        this.#settling = null;
        this.#backend.settle();
      },
      () => false,
    );
    await this.#settling;
  }

  /** Writes the log back into the file and empties it, when no transaction is running. */
  async checkpoint(): Promise<void> {
    while (this.#held !== null) await this.#held;
    await this.#exclusively(() => {
      this.#backend.settle();
      this.#backend.database.pragma("wal_checkpoint(TRUNCATE)");
    });
  }

  /** Waits for the transactions that are there, then closes the file. Connections that are still open are dead afterwards. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    unmount(this.mountName);
    this.#backend.isClosing = true;
    while (this.#held !== null) await this.#held;
    await this.#backend.scheduler.idle();
    for (const openable of this.#backend.openables()) {
      for (const connection of openable.connections) connection.close();
    }
    try {
      this.#backend.settle();
    } finally {
      this.#backend.database.close();
    }
  }

  /** Waits for its turn, then has the connection to itself while `work` runs. */
  #exclusively<T>(work: () => T): Promise<T> {
    return this.#takeTurn(work, () => true);
  }

  #takeTurn<T>(work: () => T, conflictsWith: Turn["conflictsWith"]): Promise<T> {
    const { scheduler, path } = this.#backend;
    return new Promise((resolve, reject) => {
      if (this.#closing !== null) throw new Error(`${path}: the device store is closed`);
      const turn: Turn = {
        writes: true,
        conflictsWith,
        start: () => {
          try {
            resolve(work());
          } catch (error) {
            reject(describeError(error, path));
          } finally {
            scheduler.finish(turn);
          }
        },
      };
      scheduler.add(turn);
    });
  }
}

function runInTransaction<T>(backend: Backend, work: (database: Database) => T): T {
  backend.begin();
  try {
    const result = work(backend.database);
    if (result instanceof Promise) {
      // Nobody waits for it any more; its failure must not end the process.
      result.catch(() => undefined);
      throw new TypeError(
        "expected synchronous work, got a promise: a SQLite transaction cannot wait",
      );
    }
    backend.commit();
    return result;
  } catch (error) {
    backend.rollback();
    throw error;
  }
}
