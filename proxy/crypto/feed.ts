import { createHash } from "node:crypto";
import {
  DeviceLists,
  type OlmMachine,
  type ProcessedToDeviceEvent,
  ProcessedToDeviceEventType,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Database } from "better-sqlite3";
import type { Logger } from "pino";

import type { DeviceStore, Write } from "../../crypto-store/index.ts";
import type { Clock } from "../clock.ts";
import {
  asArray,
  asObject,
  asStrings,
  isObject,
  type JsonObject,
  parseObject,
} from "../matrix/json.ts";
import { isCryptoType } from "../matrix/to-device-types.ts";
import { failpoint, isPoison } from "../observe/failpoint.ts";
import { SerialQueue } from "../serial.ts";
import { engineUsers, provokeTrap } from "./engine.ts";
import type { EngineCalls } from "./engine-calls.ts";
import { inbox, type InboxEvent } from "./inbox.ts";

/** How many positions are remembered as continuing the feed, and how many seen events. */
const maxPositions = 2_000;
const maxSeen = 20_000;

/** The crypto feed of one response of `/sync`, and where it belongs. */
export interface FeedPart {
  readonly toDevice: readonly JsonObject[];
  readonly changed: readonly string[];
  readonly left: readonly string[];
  /** Keys at the homeserver by algorithm; `null` where the response says nothing. */
  readonly counts: ReadonlyMap<string, number> | null;
  readonly unusedFallbackKeys: ReadonlySet<string> | null;
  readonly since: string | null;
  readonly nextBatch: string;
  readonly serial: number;
  readonly oldestSerial: number;
  /** When the request was sent upstream: counts from before our last key upload say nothing. */
  readonly startedMs: number;
}

/** Takes the feed's members out of a sync response, in place. */
export function takeFeedPart(
  response: JsonObject,
  place: Pick<FeedPart, "since" | "nextBatch" | "serial" | "oldestSerial" | "startedMs">,
): FeedPart {
  const lists = asObject(response["device_lists"]);
  const counts = asObject(response["device_one_time_keys_count"]);
  const unused = response["device_unused_fallback_key_types"];
  const part: FeedPart = {
    ...place,
    toDevice: asArray(asObject(response["to_device"])?.["events"]).filter(isObject),
    changed: asStrings(lists?.["changed"]),
    left: asStrings(lists?.["left"]),
    counts:
      counts === null
        ? null
        : new Map(
            Object.entries(counts).filter(
              (entry): entry is [string, number] =>
                Number.isSafeInteger(entry[1]) && (entry[1] as number) >= 0,
            ),
          ),
    unusedFallbackKeys: Array.isArray(unused) ? new Set(asStrings(unused)) : null,
  };
  delete response["to_device"];
  delete response["device_lists"];
  delete response["device_one_time_keys_count"];
  delete response["device_unused_fallback_key_types"];
  return part;
}

/**
 * The device's crypto feed: to-device events, device lists and key counts, from whichever stream they
 * come. One part at a time is taken; it is on disk when the promise resolves, so the response that
 * carried it may then be released and its position acknowledged.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#extensions-to-sync-1
 */
export class Feed {
  readonly #machine: OlmMachine;
  readonly #store: DeviceStore;
  readonly #engine: EngineCalls;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onTaken: (part: FeedPart) => void;
  readonly #lastUploadMs: () => number;
  readonly #serial = new SerialQueue();
  readonly #positions: Set<string>;
  #position: string | null;

  constructor(options: FeedOptions, loaded: FeedPositions) {
    this.#machine = options.machine;
    this.#store = options.store;
    this.#engine = options.engine;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#onTaken = options.onTaken;
    this.#lastUploadMs = options.lastUploadMs;
    this.#positions = new Set(loaded.known);
    this.#position = loaded.newest;
  }

  /** The newest position up to which the feed was taken; `null` before the first. */
  get position(): string | null {
    return this.#position;
  }

  /** True for a position up to which the feed was taken without a gap. */
  isTaken(position: string): boolean {
    return this.#positions.has(position);
  }

  /** Takes one response's part of the feed. Parts are taken one at a time, in the order of the calls. */
  take(part: FeedPart): Promise<void> {
    return this.#serial.run(() => this.#take(part));
  }

  /** Device lists learnt outside a sync. */
  receiveDeviceLists(changed: readonly string[], left: readonly string[]): Promise<void> {
    return this.#serial.run(async () => {
      await this.#receive([], changed, left, null, null);
    });
  }

  /** Something may have been missed: every tracked user's devices are asked for anew. */
  markAllDirty(): Promise<void> {
    return this.#serial.run(() => this.#machine.markAllTrackedUsersAsDirty());
  }

  async #take(part: FeedPart): Promise<void> {
    if (part.since === null || !this.#positions.has(part.since)) {
      await this.#machine.markAllTrackedUsersAsDirty();
    }
    const fresh = await this.#unseen(part.toDevice);
    const application: InboxEvent[] = part.toDevice
      .filter((event) => !isCryptoType(event["type"]))
      .map((event) => ({ event, unique: false }));
    // All or nothing: an event that the engine had but that is not on record would be fed again, and
    // look like a broken Olm session.
    await this.#store.atomically(async (write) => {
      for (const batch of this.#batches(fresh)) {
        const { changed, left } = part;
        const current = part.startedMs > this.#lastUploadMs();
        const counts = current ? part.counts : null;
        const unusedFallbackKeys = current ? part.unusedFallbackKeys : null;
        const processed = await this.#receive(batch, changed, left, counts, unusedFallbackKeys);
        for (const event of processed) application.push(...this.#applicationEvents(event));
      }
      failpoint("receive-to-commit");
      await this.#commit(write, part, fresh, application);
    });
    this.#positions.add(part.nextBatch);
    if (this.#positions.size > 2 * maxPositions) await this.#prunePositions();
    this.#position = part.nextBatch;
    this.#onTaken(part);
  }

  /** Olm-encrypted events that no stream has shown yet, and plaintext ones of crypto types. */
  async #unseen(events: readonly JsonObject[]): Promise<JsonObject[]> {
    const relevant = events.filter((event) => isCryptoType(event["type"]));
    if (relevant.length === 0) return [];
    return this.#store.transaction((database) => {
      const seen = database.prepare("SELECT 1 FROM seen_to_device WHERE id = ?").pluck();
      const within = new Set<string>();
      return relevant.filter((event) => {
        const id = identityOf(event);
        if (within.has(id)) return false;
        within.add(id);
        return seen.get(id) === undefined;
      });
    });
  }

  /** One batch, unless an event in it was there when the wasm trapped: then each event by itself. */
  #batches(events: readonly JsonObject[]): (readonly JsonObject[])[] {
    const texts = events.map((event) => JSON.stringify(event));
    if (!texts.some((text) => this.#engine.isSuspect(text))) return [events];
    const usable = events.filter((_, index) => !this.#engine.isQuarantined(texts[index] ?? ""));
    return [[], ...usable.map((event) => [event])];
  }

  async #receive(
    events: readonly JsonObject[],
    changed: readonly string[],
    left: readonly string[],
    counts: ReadonlyMap<string, number> | null,
    unused: ReadonlySet<string> | null,
  ): Promise<ProcessedToDeviceEvent[]> {
    const lists = new DeviceLists(engineUsers(changed), engineUsers(left));
    const text = JSON.stringify(events);
    const fallback = unused === null ? undefined : new Set(unused);
    const texts = events.map((event) => JSON.stringify(event));
    return this.#engine.feed(texts, async () => {
      if (isPoison(text)) await provokeTrap(this.#machine);
      // Absent counts mean "none at the homeserver" to one method and "unchanged" to the other.
      return counts === null || counts.size === 0
        ? this.#machine.receiveSyncChangesMsc4186(text, lists, new Map(), fallback)
        : this.#machine.receiveSyncChanges(text, lists, new Map(counts), fallback);
    });
  }

  #applicationEvents(processed: ProcessedToDeviceEvent): InboxEvent[] {
    const { type, rawEvent } = processed;
    processed.free();
    if (type === ProcessedToDeviceEventType.UnableToDecrypt) {
      this.#logger.warn("a to-device event could not be decrypted");
    }
    if (type !== ProcessedToDeviceEventType.Decrypted) return [];
    const event = parseObject(rawEvent);
    if (event === null || isCryptoType(event["type"])) return [];
    const { content, sender, type: name } = event;
    return [{ event: { content, sender, type: name }, unique: true }];
  }

  async #commit(
    write: Write,
    part: FeedPart,
    fresh: readonly JsonObject[],
    application: readonly InboxEvent[],
  ): Promise<void> {
    const now = this.#clock.now();
    await write((database) => {
      const seen = database.prepare(
        "INSERT OR IGNORE INTO seen_to_device (id, at_ms) VALUES (?, ?)",
      );
      for (const event of fresh) seen.run(identityOf(event), now);
      if (part.since !== null) inbox.acknowledgeAtServer(database, part.since, part.serial);
      if (application.length > 0) inbox.take(database, application, part);
      inbox.prune(database, part.oldestSerial);
      if (part.nextBatch !== this.#position) {
        notePosition(database, part.nextBatch, now);
        if (fresh.length > 0) forgetSeen(database);
      }
    });
  }

  async #prunePositions(): Promise<void> {
    const kept = await this.#store.transaction((database) => {
      database
        .prepare(
          `DELETE FROM feed_position WHERE token NOT IN
             (SELECT token FROM feed_position ORDER BY at_ms DESC LIMIT ?)`,
        )
        .run(maxPositions);
      return database.prepare("SELECT token FROM feed_position").pluck().all() as string[];
    });
    this.#positions.clear();
    for (const token of kept) this.#positions.add(token);
  }
}

/** Positions up to which the feed was taken without a gap, as the store holds them. */
export interface FeedPositions {
  readonly known: readonly string[];
  readonly newest: string | null;
}

/** Reads the feed's positions from the device's store. */
export function loadFeedPositions(store: DeviceStore): Promise<FeedPositions> {
  return store.transaction((database) => {
    const known = database.prepare("SELECT token FROM feed_position").pluck().all() as string[];
    const newest = database
      .prepare("SELECT value FROM session_value WHERE name = 'feed-position'")
      .pluck()
      .get() as string | undefined;
    return { known, newest: newest ?? null };
  });
}

/** What a feed is made of. */
export interface FeedOptions {
  readonly machine: OlmMachine;
  readonly store: DeviceStore;
  readonly engine: EngineCalls;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called after each part was committed. */
  readonly onTaken: (part: FeedPart) => void;
  /** When the last key upload was answered, milliseconds since the epoch. */
  readonly lastUploadMs: () => number;
}

function notePosition(database: Database, token: string, now: number): void {
  database
    .prepare(
      `INSERT INTO feed_position (token, at_ms, inbox_upto)
       VALUES (?, ?, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0))
       ON CONFLICT (token) DO UPDATE SET at_ms = excluded.at_ms`,
    )
    .run(token, now);
  database
    .prepare("INSERT OR REPLACE INTO session_value (name, value) VALUES ('feed-position', ?)")
    .run(token);
}

function forgetSeen(database: Database): void {
  const count = database.prepare("SELECT count(*) FROM seen_to_device").pluck().get() as number;
  if (count <= 2 * maxSeen) return;
  database
    .prepare(
      `DELETE FROM seen_to_device WHERE id NOT IN
         (SELECT id FROM seen_to_device ORDER BY at_ms DESC LIMIT ?)`,
    )
    .run(maxSeen);
}

/** What makes a to-device event the same one in several streams: its content and sender. */
function identityOf(event: JsonObject): string {
  const text = JSON.stringify([event["type"], event["sender"], event["content"]]);
  return createHash("sha256").update(text).digest("base64url");
}
