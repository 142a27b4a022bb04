import type { Database } from "better-sqlite3";

/** A string, or an array of strings. */
export type KeyPath = string | readonly string[];

/** An index of an object store. */
export interface IndexEntry {
  readonly id: number;
  readonly name: string;
  readonly keyPath: KeyPath;
  readonly unique: boolean;
  /** False between the call of createIndex and the moment its turn among the requests comes. */
  ready: boolean;
}

/** An object store. */
export interface StoreEntry {
  readonly id: number;
  readonly name: string;
  indexes: Map<string, IndexEntry>;
  deleted: boolean;
}

/** An IndexedDB database as the file holds it. */
export interface DatabaseEntry {
  id: number;
  readonly name: string;
  version: number;
  stores: Map<string, StoreEntry>;
}

interface DatabaseRow {
  readonly id: number;
  readonly name: string;
  readonly version: number;
}

/** Names, versions, object stores and indexes of the databases in one file, read once and kept in step with it. */
export class Catalog {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** @returns null when the file holds no such database. */
  load(name: string): DatabaseEntry | null {
    const row = this.#database
      .prepare<[string], DatabaseRow>("SELECT id, name, version FROM idb_database WHERE name = ?")
      .get(name);
    return row === undefined ? null : { ...row, stores: this.#loadStores(row.id) };
  }

  /** Stores the new version, and the database itself when it is new. Called inside the upgrade's SQLite transaction. */
  saveVersion(name: string, version: number): number {
    return (
      this.#database
        .prepare<[string, number], number>(
          "INSERT INTO idb_database (name, version) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET version = excluded.version RETURNING id",
        )
        .pluck()
        .get(name, version) ?? 0
    );
  }

  createStore(databaseId: number, name: string): StoreEntry {
    const { lastInsertRowid } = this.#database
      .prepare<[number, string]>("INSERT INTO idb_store (database_id, name) VALUES (?, ?)")
      .run(databaseId, name);
    return { id: Number(lastInsertRowid), name, indexes: new Map(), deleted: false };
  }

  /** Forgets the store and its indexes; their records are removed by the caller. */
  deleteStore(storeId: number): void {
    this.#database.prepare<[number]>("DELETE FROM idb_store WHERE id = ?").run(storeId);
  }

  createIndex(storeId: number, name: string, keyPath: KeyPath, unique: boolean): IndexEntry {
    const { lastInsertRowid } = this.#database
      .prepare<[number, string, string, number]>(
        "INSERT INTO idb_index (store_id, name, key_path, is_unique) VALUES (?, ?, ?, ?)",
      )
      .run(storeId, name, JSON.stringify(keyPath), unique ? 1 : 0);
    return { id: Number(lastInsertRowid), name, keyPath, unique, ready: false };
  }

  #loadStores(databaseId: number): Map<string, StoreEntry> {
    const rows = this.#database
      .prepare<[number], { id: number; name: string }>(
        "SELECT id, name FROM idb_store WHERE database_id = ?",
      )
      .all(databaseId);
    return new Map(
      rows.map((row) => [row.name, { ...row, indexes: this.#loadIndexes(row.id), deleted: false }]),
    );
  }

  #loadIndexes(storeId: number): Map<string, IndexEntry> {
    const rows = this.#database
      .prepare<[number], { id: number; name: string; key_path: string; is_unique: number }>(
        "SELECT id, name, key_path, is_unique FROM idb_index WHERE store_id = ?",
      )
      .all(storeId);
    return new Map(
      rows.map((row) => [
        row.name,
        {
          id: row.id,
          name: row.name,
          keyPath: JSON.parse(row.key_path) as KeyPath,
          unique: row.is_unique === 1,
          ready: true,
        },
      ]),
    );
  }
}
