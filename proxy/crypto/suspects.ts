import { createHash } from "node:crypto";
import type { Logger } from "pino";

import type { DeviceStore } from "../../crypto-store/index.ts";
import { asString, parseObject } from "../matrix/json.ts";
import type { Clock } from "../clock.ts";

interface Suspect {
  readonly traps: number;
  readonly alone: number;
}

/**
 * Events that were being fed to the engine when its wasm trapped. A batch that trapped is fed event
 * by event the next time; an event that traps again alone is quarantined: never fed again.
 */
export class Suspects {
  readonly #store: DeviceStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #known: Map<string, Suspect>;

  private constructor(
    store: DeviceStore,
    clock: Clock,
    logger: Logger,
    known: Map<string, Suspect>,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#logger = logger;
    this.#known = known;
  }

  static async load(store: DeviceStore, clock: Clock, logger: Logger): Promise<Suspects> {
    const rows = await store.transaction((database) =>
      database.prepare("SELECT id, traps, alone FROM suspect").all(),
    );
    const known = (rows as ({ id: string } & Suspect)[]).map(
      ({ id, traps, alone }) => [id, { traps, alone }] as const,
    );
    return new Suspects(store, clock, logger, new Map(known));
  }

  /** True where this event was fed when the wasm trapped, alone or among others. */
  isSuspect(event: string): boolean {
    return this.#known.size > 0 && this.#known.has(identityOf(event));
  }

  /** True where this event trapped the wasm twice, the second time alone. */
  isQuarantined(event: string): boolean {
    if (this.#known.size === 0) return false;
    const suspect = this.#known.get(identityOf(event));
    return suspect !== undefined && suspect.traps >= 2 && suspect.alone >= 1;
  }

  /**
   * Notes a trap while these events were fed. It is on disk when the promise resolves: the thread is
   * about to end.
   *
   * @param events - the events' JSON texts
   * @param alone - whether exactly one event was under way
   */
  async record(events: readonly string[], alone: boolean): Promise<void> {
    await this.#store.transaction((database) => {
      const note = database.prepare(`
        INSERT INTO suspect (id, type, sender, traps, alone, at_ms) VALUES (?, ?, ?, 1, ?, ?)
        ON CONFLICT (id) DO UPDATE SET traps = traps + 1, alone = alone + excluded.alone
      `);
      for (const event of events) {
        const parsed = parseObject(event);
        const type = asString(parsed?.["type"]);
        const sender = asString(parsed?.["sender"]);
        note.run(identityOf(event), type, sender, alone ? 1 : 0, this.#clock.now());
      }
    });
    for (const event of events) {
      const id = identityOf(event);
      const before = this.#known.get(id) ?? { traps: 0, alone: 0 };
      this.#known.set(id, { traps: before.traps + 1, alone: before.alone + (alone ? 1 : 0) });
      if (this.isQuarantined(event)) {
        this.#logger.error({ event: id }, "an event traps the engine: quarantined");
      }
    }
  }
}

/** A room event's id; elsewhere a hash, since `unsigned.age` differs each time an event is shown. */
function identityOf(event: string): string {
  const eventId = asString(parseObject(event)?.["event_id"]);
  return eventId ?? createHash("sha256").update(event).digest("base64url");
}
