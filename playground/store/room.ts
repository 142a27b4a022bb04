import type { JsonObject } from "../json.ts";
import { isObject, stringOr } from "../json.ts";
import type { Versioned } from "./user.ts";

/** The membership values. */
export type Membership = "join" | "invite" | "leave" | "ban" | "knock";

/** A room event as stored. */
export interface RoomEvent {
  readonly eventId: string;
  readonly roomId: string;
  readonly type: string;
  readonly sender: string;
  /** Absent: not a state event. */
  readonly stateKey: string | null;
  content: JsonObject;
  readonly originServerTs: number;
  /** Position in the main stream. */
  readonly position: number;
  readonly redacts: string | null;
  /** The event that redacted this one. */
  redactedBy: RoomEvent | null;
  /** The state event that this one replaced. */
  readonly replaces: RoomEvent | null;
  /** Whose transaction made it. */
  readonly origin: { readonly deviceId: string | null; readonly txnId: string } | null;
}

/** A read receipt. */
export interface Receipt {
  readonly type: string;
  readonly userId: string;
  readonly eventId: string;
  readonly threadId: string | null;
  readonly ts: number;
  readonly position: number;
}

/** A room: a line of events, with the state's history. */
export class Room {
  readonly roomId: string;
  readonly version: string;
  readonly events: RoomEvent[] = [];
  readonly byId = new Map<string, RoomEvent>();
  /** By the event they relate to. */
  readonly relations = new Map<string, RoomEvent[]>();
  readonly receipts = new Map<string, Receipt>();
  typing: Versioned<readonly string[]> = { value: [], position: 0 };
  readonly #state = new Map<string, Map<string, RoomEvent[]>>();

  constructor(roomId: string, version: string) {
    this.roomId = roomId;
    this.version = version;
  }

  /** The position of the newest event. */
  get lastPosition(): number {
    return this.events.at(-1)?.position ?? 0;
  }

  /** Adds an event that was checked before. */
  append(event: RoomEvent): void {
    this.events.push(event);
    this.byId.set(event.eventId, event);
    const relatesTo = event.content["m.relates_to"];
    const parent = isObject(relatesTo) ? stringOr(relatesTo["event_id"]) : null;
    if (parent !== null && isObject(relatesTo) && typeof relatesTo["rel_type"] === "string") {
      const related = this.relations.get(parent) ?? [];
      related.push(event);
      this.relations.set(parent, related);
    }
    if (event.stateKey === null) return;
    const ofType = this.#state.get(event.type) ?? new Map<string, RoomEvent[]>();
    this.#state.set(event.type, ofType);
    const history = ofType.get(event.stateKey) ?? [];
    ofType.set(event.stateKey, history);
    history.push(event);
  }

  /** The state event as of `at` (a position of the main stream; events at it count). */
  state(type: string, stateKey = "", at = Infinity): RoomEvent | null {
    return newestAt(this.#state.get(type)?.get(stateKey), at);
  }

  /** Every state event as of `at`. */
  stateAt(at = Infinity): RoomEvent[] {
    const events: RoomEvent[] = [];
    for (const ofType of this.#state.values()) {
      for (const history of ofType.values()) {
        const event = newestAt(history, at);
        if (event !== null) events.push(event);
      }
    }
    return events.sort((a, b) => a.position - b.position);
  }

  /** The user's membership as of `at`; null where there was none. */
  membership(userId: string, at = Infinity): Membership | null {
    return membershipOf(this.state("m.room.member", userId, at));
  }

  /** User ids with one of these memberships now. */
  members(...memberships: readonly Membership[]): string[] {
    const ids: string[] = [];
    for (const [userId, history] of this.#state.get("m.room.member") ?? []) {
      const membership = membershipOf(history.at(-1) ?? null);
      if (membership !== null && memberships.includes(membership)) ids.push(userId);
    }
    return ids;
  }

  /** The user's membership events, oldest first. */
  membershipHistory(userId: string): readonly RoomEvent[] {
    return this.#state.get("m.room.member")?.get(userId) ?? [];
  }

  /** Whether the user came to be joined, or ceased to be, after `since`, by the last such change. */
  joinedChange(userId: string, since: number): "joined" | "left" | null {
    let change: "joined" | "left" | null = null;
    for (const event of this.membershipHistory(userId)) {
      if (event.position <= since) continue;
      const before = membershipOf(event.replaces) === "join";
      const now = membershipOf(event) === "join";
      if (before !== now) change = now ? "joined" : "left";
    }
    return change;
  }

  /** Index of the first event after `position`. */
  indexAfter(position: number): number {
    let low = 0;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.events[middle]?.position ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Events with `from < position <= to`, oldest first. */
  between(from: number, to: number): readonly RoomEvent[] {
    return this.events.slice(this.indexAfter(from), this.indexAfter(to));
  }
}

/** The membership that a member event states. */
export function membershipOf(event: RoomEvent | null): Membership | null {
  const value = event?.content["membership"];
  return value === "join" ||
    value === "invite" ||
    value === "leave" ||
    value === "ban" ||
    value === "knock"
    ? value
    : null;
}

function newestAt(history: readonly RoomEvent[] | undefined, at: number): RoomEvent | null {
  return history?.findLast((event) => event.position <= at) ?? null;
}
