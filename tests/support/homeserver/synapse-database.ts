import Database from "better-sqlite3";

import type { StoredEvent } from "../homeserver.ts";

interface EventRow {
  readonly event_id: string;
  readonly room_id: string;
  readonly type: string;
  readonly sender: string;
  readonly json: string;
}

/** Reads a running Synapse's SQLite database (WAL: a reader neither blocks it nor is blocked). */
export class SynapseDatabase {
  readonly #database: Database.Database;

  constructor(path: string) {
    this.#database = new Database(path, { readonly: true, fileMustExist: true, timeout: 10_000 });
  }

  /** Every stored event in the order of arrival, of one room if named. */
  events(roomId?: string): StoredEvent[] {
    const rows = this.#database
      .prepare<[{ roomId: string | null }], EventRow>(
        `SELECT event_id, room_id, type, sender, json FROM event_json JOIN events USING (event_id, room_id)
         WHERE @roomId IS NULL OR room_id = @roomId ORDER BY stream_ordering`,
      )
      .all({ roomId: roomId ?? null });
    return rows.map((row) => ({
      eventId: row.event_id,
      roomId: row.room_id,
      type: row.type,
      sender: row.sender,
      json: row.json,
    }));
  }

  /** To-device messages that a device has not acknowledged, oldest first. */
  toDeviceInbox(userId: string, deviceId: string): string[] {
    return this.#database
      .prepare<[string, string], string>(
        `SELECT message_json FROM device_inbox WHERE user_id = ? AND device_id = ? ORDER BY stream_id`,
      )
      .pluck()
      .all(userId, deviceId);
  }

  close(): void {
    this.#database.close();
  }
}
