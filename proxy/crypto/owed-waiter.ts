import { EventEmitter, once } from "node:events";

import type { DeviceStore } from "../../crypto-store/index.ts";
import type { Clock } from "../clock.ts";
import { readMegolmEvent } from "../matrix/room-events.ts";
import type { EventDecryptor } from "./event-decryptor.ts";
import { inbox } from "./inbox.ts";
import type { OwedEntry, OwedEvents } from "./owed-events.ts";

/** Lets a client's long poll end when something that it is owed can be given. */
export class OwedWaiter {
  readonly #owed: OwedEvents;
  readonly #store: DeviceStore;
  readonly #decryptor: EventDecryptor;
  readonly #clock: Clock;
  readonly #lateKeyTimeoutMs: number;
  readonly #news = new EventEmitter();

  constructor(options: {
    readonly owed: OwedEvents;
    readonly store: DeviceStore;
    readonly decryptor: EventDecryptor;
    readonly clock: Clock;
    readonly lateKeyTimeoutMs: number;
  }) {
    this.#owed = options.owed;
    this.#store = options.store;
    this.#decryptor = options.decryptor;
    this.#clock = options.clock;
    this.#lateKeyTimeoutMs = options.lateKeyTimeoutMs;
    this.#news.setMaxListeners(0);
  }

  /** Room keys or to-device events came: whoever waits looks again. */
  lookAgain(): void {
    this.#news.emit("news");
  }

  /**
   * Resolves when the first held event of a room can be given, a raw one was decrypted, or
   * application to-device events wait.
   *
   * @throws AbortError when the signal fires
   */
  async ready(cursor: number | null, signal: AbortSignal): Promise<void> {
    const entries = await this.#owed.at(cursor);
    for (;;) {
      // Listening starts before looking, or what comes in between would be missed.
      const stop = new AbortController();
      const news = once(this.#news, "news", { signal: AbortSignal.any([signal, stop.signal]) });
      news.catch(() => undefined);
      let cancel: () => void = () => undefined;
      try {
        const heads = headsOf(entries);
        if ((await this.#inboxWaits()) || (await this.#anyReady(heads))) return;
        const dueMs = Math.min(
          ...heads
            .filter(({ state }) => state === "held")
            .map(({ item }) => item.firstSeenMs + this.#lateKeyTimeoutMs - this.#clock.now()),
        );
        if (dueMs <= 0) return;
        const due = new Promise<void>((resolve) => {
          if (Number.isFinite(dueMs)) cancel = this.#clock.after(dueMs, resolve);
        });
        if ((await Promise.race([news.then(() => "news"), due.then(() => "due")])) === "due")
          return;
      } finally {
        cancel();
        stop.abort();
      }
    }
  }

  #inboxWaits(): Promise<boolean> {
    return this.#store.transaction((database) => inbox.waiting(database).events.length > 0);
  }

  async #anyReady(heads: readonly OwedEntry[]): Promise<boolean> {
    // What waits for no key of its own stands behind a gap: the next response takes it.
    const free = ({ item }: OwedEntry) => readMegolmEvent(item.event) === null;
    if (heads.some((entry) => entry.state === "held" && free(entry))) return true;
    const outcomes = await this.#decryptor.decrypt(
      heads.map(({ item }) => ({ roomId: item.roomId, event: item.event })),
    );
    return heads.some(({ state }, index) => {
      const kind = outcomes[index]?.kind;
      return state === "held" ? kind !== "late" : kind === "decrypted";
    });
  }
}

/** The first held event of each room, and every raw one. */
function headsOf(entries: readonly OwedEntry[]): OwedEntry[] {
  const seen = new Set<string>();
  return entries.filter(({ item, state }) => {
    if (state === "raw") return true;
    if (seen.has(item.roomId)) return false;
    seen.add(item.roomId);
    return true;
  });
}
