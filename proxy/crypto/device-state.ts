import type { Migration } from "../../crypto-store/index.ts";

/**
 * The tables that a device session keeps beside the engine's own records, in the device's own
 * encrypted file: one writer, one fate. Times are milliseconds since the epoch.
 */
export const deviceStateMigrations: readonly Migration[] = [
  {
    version: 1,
    sql: `
      -- Single values: 'generation', 'ownership', 'feed-position'.
      CREATE TABLE session_value (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
      -- next_batch tokens up to which the feed was taken without a gap.
      CREATE TABLE feed_position (token TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
      -- Olm-encrypted to-device events that the engine has had.
      CREATE TABLE seen_to_device (id TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
      -- Events that were fed when the wasm trapped. 'alone' counts traps with no other event beside.
      CREATE TABLE suspect (
        id TEXT PRIMARY KEY, type TEXT, sender TEXT,
        traps INTEGER NOT NULL, alone INTEGER NOT NULL, at_ms INTEGER NOT NULL
      ) WITHOUT ROWID;
      -- Which event each message index decrypted for; outlives the keys.
      CREATE TABLE replay (
        session_id TEXT NOT NULL, message_index INTEGER NOT NULL, event_id TEXT NOT NULL,
        PRIMARY KEY (session_id, message_index)
      ) WITHOUT ROWID;
      -- The outbound session in use per room, with its age.
      CREATE TABLE outbound (
        room_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, created_ms INTEGER NOT NULL
      ) WITHOUT ROWID;
      -- Application to-device events on their way to the client.
      CREATE TABLE inbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL, event TEXT NOT NULL,
        taken_with TEXT NOT NULL, server_ack INTEGER, client_ack INTEGER NOT NULL DEFAULT 0
      );
      -- Timeline events that wait for a key, or behind one that does.
      CREATE TABLE owed_item (
        id INTEGER PRIMARY KEY AUTOINCREMENT, room_id TEXT NOT NULL, event TEXT NOT NULL,
        session_id TEXT, limited INTEGER NOT NULL, prev_batch TEXT, first_seen_ms INTEGER NOT NULL
      );
      -- What a client that presents this cursor has not been given yet.
      CREATE TABLE owed_cursor (
        id INTEGER PRIMARY KEY AUTOINCREMENT, entries TEXT NOT NULL, inbox_upto INTEGER NOT NULL,
        created_ms INTEGER NOT NULL
      );
    `,
  },
  {
    version: 2,
    // The highest id that the inbox had given out when the position was first taken.
    sql: "ALTER TABLE feed_position ADD COLUMN inbox_upto INTEGER NOT NULL DEFAULT 0;",
  },
  {
    version: 3,
    sql: `
      CREATE INDEX inbox_by_identity ON inbox (identity);
      -- Further next_batch tokens that came with an event, of other streams than the one it was taken from.
      CREATE TABLE inbox_shown (
        token TEXT NOT NULL, inbox_id INTEGER NOT NULL REFERENCES inbox ON DELETE CASCADE,
        PRIMARY KEY (token, inbox_id)
      ) WITHOUT ROWID;
      CREATE INDEX inbox_shown_by_id ON inbox_shown (inbox_id);
    `,
  },
  {
    version: 4,
    // The limits that the outbound session was made with.
    sql: `
      ALTER TABLE outbound ADD COLUMN rotation_ms INTEGER;
      ALTER TABLE outbound ADD COLUMN rotation_messages INTEGER;
    `,
  },
];
