import type { RoomId } from "../matrix/identifiers.ts";
import { asString, type JsonObject } from "../matrix/json.ts";
import { holdsCiphertext } from "../matrix/room-events.ts";
import type { DecryptOutcome } from "./event-decryptor.ts";
import type { NewOwedItem, OwedEntry, OwedItem } from "./owed-events.ts";

/** One room's timeline on its way to a client: what was owed, then what is new. */
export interface TimelineInput {
  readonly roomId: RoomId;
  readonly owed: readonly OwedEntry[];
  /** The response's own timeline events, raw. */
  readonly events: readonly JsonObject[];
  readonly limited: boolean;
  readonly prevBatch: string | null;
  /** The room was left: nothing more will come for it, so nothing is held back. */
  readonly left: boolean;
}

/** What goes out now, and what is outstanding afterwards. */
export interface TimelineOutput {
  readonly events: readonly JsonObject[];
  readonly limited: boolean;
  readonly prevBatch: string | null;
  readonly kept: readonly OwedEntry[];
  readonly fresh: readonly NewOwedItem[];
}

export interface TimelineRules {
  readonly nowMs: number;
  readonly lateKeyTimeoutMs: number;
  /** Events sent before the device existed: their keys cannot be expected. */
  readonly deviceCreatedMs: number;
}

/**
 * How many events of a room are held back at most. Each is looked at again in every response: a member who floods a room with
 * what nobody can decrypt must not slow down all else.
 */
const maxHeld = 500;

type Place = Pick<OwedItem, "event" | "limited" | "prevBatch" | "firstSeenMs" | "sessionId">;

/** The events of a room's timeline in which something is to be decrypted, in the order of the outcomes. */
export function eventsToDecrypt(input: TimelineInput): JsonObject[] {
  return [...input.owed.map(({ item }) => item.event), ...input.events].filter((event) =>
    holdsCiphertext(event),
  );
}

/**
 * Decides what of a room's timeline goes out: everything up to the first event whose key may still
 * come, in order. Behind a gap (`limited`) nothing is joined to what stands before it: that is for
 * the next response.
 *
 * @param outcomes - for {@link eventsToDecrypt}, in that order
 */
export function arrangeTimeline(
  input: TimelineInput,
  outcomes: readonly DecryptOutcome[],
  rules: TimelineRules,
): TimelineOutput {
  const held = input.owed.filter(({ state }) => state === "held").length;
  const isCrowded = held + input.events.length > maxHeld;
  const queue = [...outcomes];
  const next = (event: JsonObject) => (holdsCiphertext(event) ? queue.shift() : undefined);
  const again: JsonObject[] = [];
  const kept: OwedEntry[] = [];
  const fresh: NewOwedItem[] = [];
  const out: JsonObject[] = [];
  let first: Place | null = null;
  let blocked = false;

  /** Gives the event out, or says how it stays outstanding. */
  const place = (item: Place, outcome: DecryptOutcome | undefined): "given" | "raw" | "held" => {
    if (blocked || (item.limited && out.length > 0 && !input.left)) {
      blocked = true;
      return "held";
    }
    const waits = outcome?.kind === "late";
    const due = rules.nowMs - item.firstSeenMs >= rules.lateKeyTimeoutMs;
    const before = Number(item.event["origin_server_ts"]) < rules.deviceCreatedMs;
    if (waits && !due && !before && !input.left && !isCrowded) {
      blocked = true;
      return "held";
    }
    first = first === null || item.limited ? item : first;
    out.push(outcome?.event ?? item.event);
    return waits && !input.left ? "raw" : "given";
  };

  for (const entry of input.owed) {
    const outcome = next(entry.item.event);
    if (entry.state === "raw") {
      if (outcome?.kind === "decrypted") again.push(outcome.event);
      else if (outcome?.kind === "late" && !input.left) kept.push(entry);
      continue;
    }
    const became = place(entry.item, outcome);
    if (became !== "given") kept.push({ item: entry.item, state: became });
  }
  for (const [index, event] of input.events.entries()) {
    const outcome = next(event);
    const item: NewOwedItem = {
      roomId: input.roomId,
      event,
      sessionId: outcome?.kind === "late" ? outcome.sessionId : null,
      limited: index === 0 && input.limited,
      prevBatch: input.prevBatch,
      firstSeenMs: rules.nowMs,
    };
    if (place(item, outcome) === "held") fresh.push(item);
  }
  const start = first as Place | null;
  // No event stands behind such a gap that could carry it to a later response.
  const bareGap = input.limited && input.events.length === 0;
  return {
    events: [...again, ...out],
    limited: start?.limited === true || bareGap,
    prevBatch: start === null || bareGap ? input.prevBatch : asString(start.prevBatch),
    kept,
    fresh,
  };
}
