import type { Database } from "better-sqlite3";
import { Catalog, type DatabaseEntry } from "./sqlite/catalog.ts";
import { Records } from "./sqlite/records.ts";
import { Scheduler } from "./sqlite/scheduler.ts";
import type { IDBDatabase } from "./indexeddb/idb-database.ts";

/** An IndexedDB database of a mounted file, with its open connections. */
export interface OpenableDatabase {
  /** The name inside the file: what follows the mount name. */
  readonly name: string;
  /** Null until the first upgrade has committed. */
  entry: DatabaseEntry | null;
  readonly connections: Set<IDBDatabase>;
  /** The requests to open it, of which the first is being worked on. */
  readonly openQueue: (() => void)[];
}

/** Everything that the IndexedDB classes need of one mounted file. */
export class Backend {
  readonly database: Database;
  readonly path: string;
  readonly catalog: Catalog;
  readonly records: Records;
  readonly scheduler = new Scheduler();
  /** Set when the store is being closed: nothing new is opened. */
  isClosing = false;
  readonly #databases = new Map<string, OpenableDatabase>();
  readonly #begin;
  readonly #commit;
  readonly #rollback;

  constructor(database: Database, path: string) {
    this.database = database;
    this.path = path;
    this.catalog = new Catalog(database);
    this.records = new Records(database);
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#rollback = database.prepare("ROLLBACK");
  }

  begin(): void {
    this.#begin.run();
  }

  /** Durable when it returns. */
  commit(): void {
    this.#commit.run();
  }

  rollback(): void {
    // A full disk makes SQLite roll back by itself.
    if (this.database.inTransaction) this.#rollback.run();
  }

  openable(name: string): OpenableDatabase {
    let database = this.#databases.get(name);
    if (database === undefined) {
      database = { name, entry: this.catalog.load(name), connections: new Set(), openQueue: [] };
      this.#databases.set(name, database);
    }
    return database;
  }

  /** The databases that have been asked for so far. */
  openables(): Iterable<OpenableDatabase> {
    return this.#databases.values();
  }
}
