import type { Database } from "better-sqlite3";

import type { DeviceStore } from "../../crypto-store/index.ts";
import type { Clock } from "../clock.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { asArray, asString, isObject, type JsonObject, parseObject } from "../matrix/json.ts";
import { inbox } from "./inbox.ts";

const dayMs = 24 * 60 * 60 * 1000;
/** How long a raw event may still be followed by its decrypted form, and a cursor stay unpresented beside newer ones. */
const retentionMs = 7 * dayMs;
const pruneIntervalMs = 60 * 60 * 1000;

/** How many raw events may still be followed by their decrypted form: each is tried again in every response. */
const maxRaw = 200;

/**
 * One timeline event that a client was not given yet.
 *
 * `limited` marks the first event after a gap in the room's timeline, with the position before it.
 */
export interface OwedItem {
  readonly id: number;
  readonly roomId: RoomId;
  readonly event: JsonObject;
  /** The Megolm session it waits for; `null` for one that only waits behind another. */
  readonly sessionId: string | null;
  readonly limited: boolean;
  readonly prevBatch: string | null;
  readonly firstSeenMs: number;
}

/** An owed item before it was stored. */
export type NewOwedItem = Omit<OwedItem, "id">;

/**
 * - `held`: not given yet; later events of its room stand behind it.
 * - `raw`: given as ciphertext after the time-out; given once more if its key comes.
 */
export type OwedState = "held" | "raw";

export interface OwedEntry {
  readonly item: OwedItem;
  readonly state: OwedState;
}

/**
 * What clients are owed, by the position that they hold.
 *
 * A response after which something is outstanding carries a cursor in its `next_batch`; the cursor
 * names exactly what is outstanding there. So a client that lost a response and asks again with the
 * old position is given the same again, one that goes on is not, and two clients of one device do not
 * disturb each other. Nothing is changed in place: every response makes a new cursor.
 */
export class OwedEvents {
  readonly #store: DeviceStore;
  readonly #clock: Clock;
  #nextPruneMs = 0;

  constructor(store: DeviceStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** What is outstanding at this cursor, oldest first, and the to-device events it acknowledges. */
  async at(cursor: number | null): Promise<readonly OwedEntry[]> {
    if (cursor === null) return [];
    return this.#store.transaction((database) => {
      const row = database
        .prepare("SELECT entries, inbox_upto FROM owed_cursor WHERE id = ?")
        .get(cursor) as { entries: string; inbox_upto: number } | undefined;
      if (row === undefined) return [];
      inbox.acknowledgeByClient(database, row.inbox_upto);
      // Who comes back after a long time may lose this response, too, and ask once more.
      database
        .prepare(
          "UPDATE owed_cursor SET created_ms = @now WHERE id = @cursor AND created_ms < @now - @dayMs",
        )
        .run({ now: this.#clock.now(), cursor, dayMs });
      return readEntries(database, row.entries);
    });
  }

  /**
   * Stores what is outstanding after a response.
   *
   * @param fresh - items first seen in this response, in order; they are held
   * @returns the cursor for the response's position; `null` where nothing is outstanding
   */
  async store(
    kept: readonly OwedEntry[],
    fresh: readonly NewOwedItem[],
    inboxUpTo: number,
  ): Promise<number | null> {
    if (kept.length === 0 && fresh.length === 0 && inboxUpTo === 0) return null;
    return this.#store.transaction((database) => {
      const insert = database.prepare(
        `INSERT INTO owed_item (room_id, event, session_id, limited, prev_batch, first_seen_ms)
         VALUES (?, ?, ?, ?, ?, ?)`,
      );
      const entries: (readonly [number, OwedState])[] = kept.map(({ item, state }) => [
        item.id,
        state,
      ]);
      for (const item of fresh) {
        const { roomId, sessionId, limited, prevBatch, firstSeenMs } = item;
        const event = JSON.stringify(item.event);
        const flag = limited ? 1 : 0;
        const row = insert.run(roomId, event, sessionId, flag, prevBatch, firstSeenMs);
        entries.push([Number(row.lastInsertRowid), "held"]);
      }
      const now = this.#clock.now();
      const row = database
        .prepare("INSERT INTO owed_cursor (entries, inbox_upto, created_ms) VALUES (?, ?, ?)")
        .run(JSON.stringify(entries), inboxUpTo, now);
      this.#prune(database, now);
      return Number(row.lastInsertRowid);
    });
  }

  /** What is carried on to the next cursor: of the raw events the newest, and none that has outlived its use. */
  carry(kept: readonly OwedEntry[]): OwedEntry[] {
    const oldestMs = this.#clock.now() - retentionMs;
    const raw = kept.filter(({ item, state }) => state === "raw" && item.firstSeenMs >= oldestMs);
    const newest = new Set(raw.slice(-maxRaw));
    return kept.filter((entry) => entry.state === "held" || newest.has(entry));
  }

  #prune(database: Database, nowMs: number): void {
    if (nowMs < this.#nextPruneMs) return;
    this.#nextPruneMs = nowMs + pruneIntervalMs;
    const beforeMs = nowMs - retentionMs;
    database.prepare("DELETE FROM owed_cursor WHERE created_ms < ?").run(beforeMs);
    database
      .prepare(
        `DELETE FROM owed_item WHERE first_seen_ms < ? AND id NOT IN
           (SELECT json_extract(pair.value, '$[0]') FROM owed_cursor, json_each(entries) AS pair)`,
      )
      .run(beforeMs);
  }
}

function readEntries(database: Database, text: string): OwedEntry[] {
  const select = database.prepare("SELECT * FROM owed_item WHERE id = ?");
  const parsed: unknown = JSON.parse(text);
  return asArray(parsed).flatMap((pair) => {
    const [id, state] = asArray(pair);
    const row = select.get(id);
    return isObject(row) ? [{ item: readItem(row), state: state === "raw" ? "raw" : "held" }] : [];
  });
}

function readItem(row: JsonObject): OwedItem {
  return {
    id: Number(row["id"]),
    roomId: String(row["room_id"]) as RoomId,
    event: parseObject(String(row["event"])) ?? {},
    sessionId: asString(row["session_id"]),
    limited: row["limited"] === 1,
    prevBatch: asString(row["prev_batch"]),
    firstSeenMs: Number(row["first_seen_ms"]),
  };
}
