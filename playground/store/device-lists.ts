import type { Notifier } from "./notifier.ts";
import { membershipOf } from "./room.ts";
import type { Membership, RoomEvent } from "./room.ts";
import type { Rooms } from "./rooms.ts";

/** Whose devices to ask for again, and whose to forget. */
export interface DeviceListUpdate {
  readonly changed: string[];
  readonly left: string[];
}

/** Membership changes of others that a reader saw since its last position. */
export interface SeenMembers {
  readonly appeared: Set<string>;
  readonly left: Set<string>;
}

const PRESENT: readonly (Membership | null)[] = ["join", "invite", "knock"];

/** The stream of device changes: who changed devices or keys, and when. */
export class DeviceLists {
  readonly #changes: { readonly userId: string; readonly position: number }[] = [];
  readonly #notifier: Notifier;
  readonly #rooms: Rooms;
  readonly #listeners = new Set<(userId: string) => void>();

  constructor(notifier: Notifier, rooms: Rooms) {
    this.#notifier = notifier;
    this.#rooms = rooms;
  }

  /** Calls back for each change. */
  onChange(listener: (userId: string) => void): void {
    this.#listeners.add(listener);
  }

  /** Notes that the user's devices or keys changed, and wakes who shares a room with it. */
  changed(userId: string): void {
    this.#changes.push({ userId, position: this.#notifier.next() });
    for (const listener of this.#listeners) listener(userId);
    this.#notifier.wake(this.sharers(userId));
  }

  /** The user and everyone joined to a room it is joined to. */
  sharers(userId: string): Set<string> {
    const ids = new Set([userId]);
    for (const room of this.#rooms.of(userId, "join")) {
      for (const member of room.members("join")) ids.add(member);
    }
    return ids;
  }

  /** Membership changes in the user's rooms after `from`, as /keys/changes looks at them. */
  membersSince(userId: string, from: number): SeenMembers {
    const seen: SeenMembers = { appeared: new Set(), left: new Set() };
    for (const room of this.#rooms.of(userId, "join")) {
      if (room.lastPosition <= from) continue;
      for (const event of room.between(from, Infinity)) noteMember(seen, event);
    }
    return seen;
  }

  /** What /sync and /keys/changes report to the user after `from`, given the members it saw. */
  update(userId: string, from: number, seen: SeenMembers): DeviceListUpdate {
    const sharers = this.sharers(userId);
    const changed = new Set<string>();
    const first = this.#firstAfter(from);
    for (const change of this.#changes.slice(first)) {
      if (sharers.has(change.userId)) changed.add(change.userId);
    }
    for (const id of seen.appeared) changed.add(id);
    const left = new Set(seen.left);
    for (const room of this.#rooms.of(userId, "join", "leave", "ban")) {
      if (room.lastPosition <= from) continue;
      const change = room.joinedChange(userId, from);
      if (change === "joined") for (const member of room.members("join")) changed.add(member);
      if (change === "left") for (const member of room.members("join")) left.add(member);
    }
    for (const id of sharers) left.delete(id);
    left.delete(userId);
    for (const id of left) changed.delete(id);
    return { changed: [...changed], left: [...left] };
  }

  #firstAfter(position: number): number {
    let index = this.#changes.length;
    while (index > 0 && (this.#changes[index - 1]?.position ?? 0) > position) index--;
    return index;
  }
}

/** Adds what a member event in a /sync response says to `seen`: an invited user who joins counts again. */
export function noteSyncedMember(seen: SeenMembers, event: RoomEvent): void {
  if (event.type !== "m.room.member" || event.stateKey === null) return;
  if (PRESENT.includes(membershipOf(event))) {
    seen.appeared.add(event.stateKey);
    seen.left.delete(event.stateKey);
  } else if (membershipOf(event.replaces) === "join") {
    seen.left.add(event.stateKey);
  }
}

function noteMember(seen: SeenMembers, event: RoomEvent): void {
  if (event.type !== "m.room.member" || event.stateKey === null) return;
  const before = PRESENT.includes(membershipOf(event.replaces));
  if (PRESENT.includes(membershipOf(event))) {
    if (before) return;
    seen.appeared.add(event.stateKey);
    seen.left.delete(event.stateKey);
  } else if (before) {
    seen.appeared.delete(event.stateKey);
    seen.left.add(event.stateKey);
  }
}
