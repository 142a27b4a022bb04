import type { Database } from "better-sqlite3";
import { StoreError } from "../errors.ts";

/** `PRAGMA application_id` of a device's file: "KJDV". */
export const DEVICE_APPLICATION_ID = 0x4b4a4456;

const SCHEMA_VERSION = 1;

/*
 * Records are in a table with row ids: they are large, and an update then touches the one page that holds the value.
 * Ids are never used twice, so that what a deleted store left behind can never show in a new one.
 */
const SCHEMA = `
  CREATE TABLE idb_schema (version INTEGER NOT NULL);
  CREATE TABLE idb_database (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE idb_store (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    database_id INTEGER NOT NULL REFERENCES idb_database (id),
    name TEXT NOT NULL,
    UNIQUE (database_id, name)
  ) STRICT;
  CREATE TABLE idb_index (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    store_id INTEGER NOT NULL REFERENCES idb_store (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    key_path TEXT NOT NULL,
    is_unique INTEGER NOT NULL,
    UNIQUE (store_id, name)
  ) STRICT;
  CREATE TABLE idb_record (
    store_id INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (store_id, key)
  ) STRICT;
  CREATE TABLE idb_entry (
    index_id INTEGER NOT NULL,
    key BLOB NOT NULL,
    record_key BLOB NOT NULL,
    PRIMARY KEY (index_id, record_key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX idb_entry_by_key ON idb_entry (index_id, key, record_key);
`;

/**
 * Creates the tables of the IndexedDB databases in a device's file. They carry their own version: `PRAGMA user_version` belongs
 * to the owner's migrations.
 *
 * @throws StoreError `STORE_TOO_NEW` when a newer program wrote the file.
 */
export function migrateIndexedDb(database: Database, path: string): void {
  const isThere = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'idb_schema'").get();
  if (isThere === undefined) {
    database.transaction(() => {
      database.exec(SCHEMA);
      database.prepare("INSERT INTO idb_schema (version) VALUES (?)").run(SCHEMA_VERSION);
    })();
  }
  const found = database.prepare<[], number>("SELECT version FROM idb_schema").pluck().get();
  if (found === SCHEMA_VERSION) return;
  throw new StoreError(
    "STORE_TOO_NEW",
    path,
    `has IndexedDB schema version ${found ?? "none"}, this program knows version ${SCHEMA_VERSION}: run the newer program`,
  );
}
