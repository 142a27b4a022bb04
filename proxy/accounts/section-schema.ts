import type { Migration } from "../../crypto-store/index.ts";

/** `PRAGMA application_id` of a section's main database: "Kirj". */
export const SECTION_APPLICATION_ID = 0x4b69726a;

/**
 * The tables of a section's main database, in the order in which they came.
 * A version that was released is never changed: what comes later is a new entry at the end.
 * Times are milliseconds since the epoch.
 */
export const sectionMigrations: readonly Migration[] = [
  {
    version: 1,
    sql: `
      -- 'generation' (INTEGER) and 'master_id' (TEXT, the master key that wraps device_file.wrapped_key).
      CREATE TABLE section_value (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

      -- Access tokens: many to one device. hash is the SHA-256 of the token, base64.
      -- device_id is NULL for a token that has no device (an appservice's, some guests').
      CREATE TABLE access_token (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        hash TEXT NOT NULL UNIQUE,
        token TEXT NOT NULL,
        user_id TEXT NOT NULL,
        device_id TEXT,
        learned_ms INTEGER NOT NULL
      ) STRICT;
      CREATE INDEX access_token_device ON access_token (user_id, device_id);

      -- Where a device's encrypted store is. A NULL wrapped_key: destroyed, the file is on its way out.
      CREATE TABLE device_file (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id TEXT NOT NULL,
        device_id TEXT NOT NULL,
        file_name TEXT NOT NULL UNIQUE,
        wrapped_key BLOB,
        state TEXT NOT NULL CHECK (state IN ('active', 'gone', 'foreign', 'self-encrypting')),
        gone_by TEXT CHECK (gone_by IN ('logout', 'rejection')),
        recheck INTEGER NOT NULL DEFAULT 0,
        generation INTEGER NOT NULL DEFAULT 0,
        created_ms INTEGER NOT NULL
      ) STRICT;
      CREATE UNIQUE INDEX device_file_current ON device_file (user_id, device_id)
        WHERE state <> 'gone';

      -- Rooms seen encrypted. Rows are never deleted.
      CREATE TABLE encryption_pin (
        room_id TEXT PRIMARY KEY,
        algorithm TEXT NOT NULL,
        rotation_period_ms INTEGER,
        rotation_period_messages INTEGER,
        pinned_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    version: 2,
    sql: `
      -- Keys of encrypted media, by the user who saw them.
      CREATE TABLE media_key (
        user_id TEXT NOT NULL,
        mxc TEXT NOT NULL,
        key BLOB NOT NULL,
        iv BLOB NOT NULL,
        sha256 BLOB NOT NULL,
        content_type TEXT,
        file_name TEXT,
        learned_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, mxc)
      ) STRICT, WITHOUT ROWID;
    `,
  },
];
