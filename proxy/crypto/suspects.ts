import { createHash } from "node:crypto";
import type { Logger } from "pino";

import type { DeviceStore } from "../../crypto-store/index.ts";
import type { Clock } from "../clock.ts";
import { asString, parseObject } from "../matrix/json.ts";
import type { SuspectReport } from "./protocol.ts";

interface Suspect {
  readonly traps: number;
  readonly alone: number;
}

/**
 * Events that were being fed to the engine when its wasm failed. Such an event is fed alone the next
 * time; one with which the wasm failed again is quarantined: never fed again.
 */
export class Suspects {
  readonly #known: ReadonlyMap<string, Suspect>;

  private constructor(known: ReadonlyMap<string, Suspect>) {
    this.#known = known;
  }

  /** Writes down what was reported since the session was open last, and reads what is known. */
  static async load(
    store: DeviceStore,
    reports: readonly SuspectReport[],
    clock: Clock,
    logger: Logger,
  ): Promise<Suspects> {
    const rows = await store.transaction((database) => {
      const note = database.prepare(`
        INSERT INTO suspect (id, type, sender, traps, alone, at_ms) VALUES (?, ?, ?, 1, ?, ?)
        ON CONFLICT (id) DO UPDATE SET traps = traps + 1, alone = alone + excluded.alone
      `);
      for (const { id, type, sender, alone } of reports) {
        note.run(id, type, sender, alone ? 1 : 0, clock.now());
      }
      return database.prepare("SELECT id, traps, alone FROM suspect").all();
    });
    const known = (rows as ({ id: string } & Suspect)[]).map(
      ({ id, traps, alone }) => [id, { traps, alone }] as const,
    );
    const suspects = new Suspects(new Map(known));
    for (const { id, type, sender } of reports) {
      if (!suspects.#isOut(id)) continue;
      logger.error({ event: id, type, sender }, "an event makes the engine fail: quarantined");
    }
    return suspects;
  }

  /** True where this event was fed when the wasm failed. */
  isSuspect(event: string): boolean {
    return this.#known.size > 0 && this.#known.has(suspectId(event));
  }

  /** True where the wasm failed twice with this event, the second time with nothing else under way. */
  isQuarantined(event: string): boolean {
    return this.#known.size > 0 && this.#isOut(suspectId(event));
  }

  #isOut(id: string): boolean {
    const suspect = this.#known.get(id);
    return suspect !== undefined && suspect.traps >= 2 && suspect.alone >= 1;
  }
}

/** What is reported of an event that was fed when the wasm failed. */
export function reportOf(event: string, alone: boolean): SuspectReport {
  const parsed = parseObject(event);
  const type = asString(parsed?.["type"]);
  const sender = asString(parsed?.["sender"]);
  return { id: suspectId(event), type, sender, alone };
}

/** A room event's id; elsewhere a hash, since `unsigned.age` differs each time an event is shown. */
function suspectId(event: string): string {
  const eventId = asString(parseObject(event)?.["event_id"]);
  return eventId ?? createHash("sha256").update(event).digest("base64url");
}
