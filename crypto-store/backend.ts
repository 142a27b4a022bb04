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
  /** Groups under way: while there is one, what is committed becomes durable with the next {@link settle}. */
  groups = 0;
  readonly #databases = new Map<string, OpenableDatabase>();
  readonly #begin;
  readonly #commit;
  readonly #rollback;
  readonly #beginInner;
  readonly #commitInner;
  readonly #rollbackInner;
  #isInner = false;
  #hasUnsettled = false;

  constructor(database: Database, path: string) {
    this.database = database;
    this.path = path;
    this.catalog = new Catalog(database);
    this.records = new Records(database);
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#rollback = database.prepare("ROLLBACK");
    this.#beginInner = database.prepare("SAVEPOINT inner");
    this.#commitInner = database.prepare("RELEASE inner");
    this.#rollbackInner = database.prepare("ROLLBACK TO inner");
  }

  /** Whether something was committed that is not durable yet. */
  get hasUnsettled(): boolean {
    return this.#hasUnsettled;
  }

  begin(): void {
    this.#requireWhole();
    this.#isInner = this.database.inTransaction;
    (this.#isInner ? this.#beginInner : this.#begin).run();
  }

  /** Durable when it returns, unless a group is under way. */
  commit(): void {
    if (this.#isInner) this.#commitInner.run();
    this.#isInner = false;
    if (this.groups === 0) this.settle();
    else this.#hasUnsettled = true;
  }

  /** Makes everything durable that was committed. */
  settle(): void {
    this.#requireWhole();
    if (this.database.inTransaction) this.#commit.run();
    this.#hasUnsettled = false;
  }

  /** Undoes the present transaction, and no other of its group. */
  rollback(): void {
    // A full disk makes SQLite roll back by itself.
    if (!this.database.inTransaction) return;
    if (this.#isInner) {
      this.#rollbackInner.run();
      this.#commitInner.run();
    } else {
      this.#rollback.run();
    }
    this.#isInner = false;
  }

  /** A disk that fails in the middle of a group takes with it what its owner believes to be stored. */
  #requireWhole(): void {
    if (!this.#hasUnsettled || this.database.inTransaction) return;
    throw new Error("writes were lost: make room on the disk and restart");
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
