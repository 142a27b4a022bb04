import { createHash } from "node:crypto";
import type { Database } from "better-sqlite3";

import { type JsonObject, parseObject } from "../matrix/json.ts";

/** How many application to-device events are kept for a client that does not sync. */
const maxWaiting = 10_000;

/** One application to-device event as it came out of the feed. */
export interface InboxEvent {
  readonly event: JsonObject;
  /** True for events that were Olm-encrypted: the feed has let each through once already. */
  readonly unique: boolean;
}

/**
 * Application to-device events on their way to the client: taken from the homeserver once, kept
 * until the client has acknowledged a response that held them.
 *
 * Several streams of one device (two clients, our own loop) are shown the same event until a request
 * acknowledges it, and two equal plaintext events may rightly follow each other. So copies are
 * counted: as many of an event's copies as were taken and could still be shown again are not new.
 *
 * All functions run inside a transaction of the device's store.
 */
export const inbox = {
  /**
   * A request with this `since` was answered: what came with that position is gone at the
   * homeserver, though requests older than `serial` may still show it.
   */
  acknowledgeAtServer(database: Database, since: string, serial: number): void {
    database
      .prepare(
        `UPDATE inbox SET server_ack = @serial WHERE server_ack IS NULL AND (taken_with = @since
           OR id IN (SELECT inbox_id FROM inbox_shown WHERE token = @since))`,
      )
      .run({ serial, since });
  },

  /** Removes what neither the homeserver will show again nor the client needs again. */
  prune(database: Database, oldestSerial: number): void {
    database
      .prepare(
        "DELETE FROM inbox WHERE client_ack = 1 AND server_ack IS NOT NULL AND server_ack < ?",
      )
      .run(oldestSerial);
    database
      .prepare("DELETE FROM inbox WHERE id <= (SELECT max(id) FROM inbox) - ?")
      .run(maxWaiting);
  },

  /**
   * Takes the application events of one response; those that were taken before are left out.
   *
   * The response cannot show what the homeserver was told of before the request and what came no later
   * than the position that the request started from: an equal event is then a new one. Without the
   * second condition an old answer out of the homeserver's cache would count as news.
   */
  take(
    database: Database,
    events: readonly InboxEvent[],
    place: { readonly since: string | null; readonly nextBatch: string; readonly serial: number },
  ): void {
    const { since, nextBatch: takenWith, serial } = place;
    const showable = database
      .prepare(
        `SELECT id FROM inbox WHERE identity = @identity AND NOT (
           server_ack IS NOT NULL AND server_ack <= @serial AND (taken_with = @since
             OR id <= (SELECT inbox_upto FROM feed_position WHERE token = @since)) IS TRUE) ORDER BY id`,
      )
      .pluck();
    const known = (identity: string) => showable.all({ identity, serial, since }) as number[];
    // Another stream's position acknowledges the event as well.
    const show = database.prepare(
      "INSERT OR IGNORE INTO inbox_shown (token, inbox_id) VALUES (?, ?)",
    );
    const insert = database.prepare(
      "INSERT INTO inbox (identity, event, taken_with) VALUES (?, ?, ?)",
    );
    const copies = new Map<string, number[]>();
    for (const { event, unique } of events) {
      const text = JSON.stringify(event);
      const identity = createHash("sha256").update(text).digest("base64url");
      const left = copies.get(identity) ?? (unique ? [] : known(identity));
      copies.set(identity, left);
      const copy = left.shift();
      if (copy === undefined) insert.run(identity, text, takenWith);
      else show.run(takenWith, copy);
    }
  },

  /** What the client has not acknowledged, oldest first, and the highest id among it. */
  waiting(database: Database): { readonly events: JsonObject[]; readonly upTo: number } {
    const rows = database
      .prepare("SELECT id, event FROM inbox WHERE client_ack = 0 ORDER BY id LIMIT 100")
      .all() as { id: number; event: string }[];
    const events = rows.map((row) => parseObject(row.event) ?? {});
    return { events, upTo: rows.at(-1)?.id ?? 0 };
  },

  /** The client presented the position of a response that held events up to this id. */
  acknowledgeByClient(database: Database, upTo: number): void {
    database.prepare("UPDATE inbox SET client_ack = 1 WHERE id <= ? AND client_ack = 0").run(upTo);
  },
};
