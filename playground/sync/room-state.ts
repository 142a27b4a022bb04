import type { Room, RoomEvent } from "../store/room.ts";
import type { SyncFilter } from "./filter.ts";
import type { Timeline } from "./timeline.ts";

/**
 * The state that a room section holds: what was in force before its timeline, or what of that changed since `since`.
 * A timeline without a gap has none, but for the senders' memberships where members are loaded lazily.
 */
export function stateForSection(o: {
  readonly room: Room;
  readonly userId: string;
  readonly filter: SyncFilter;
  readonly timeline: Timeline;
  /** Null: the whole state. */
  readonly since: number | null;
  readonly to: number;
}): readonly RoomEvent[] {
  const { room, filter, timeline } = o;
  const lazy = filter.state.lazyLoadMembers;
  const wanted = new Set(timeline.events.map((event) => event.sender));
  if (o.since === null) wanted.add(o.userId);
  const first = timeline.events[0];
  const before = first === undefined ? o.to : first.position - 1;
  const inTimeline = new Set(timeline.events);
  let state: RoomEvent[];
  if (o.since === null) {
    state = room.stateAt(before);
  } else if (timeline.limited) {
    const { since } = o;
    state = room
      .stateAt(before)
      .filter((event) => event.position > since || (lazy && event.type === "m.room.member"));
  } else if (lazy) {
    state = [...wanted]
      .map((sender) => room.state("m.room.member", sender, before))
      .filter((event) => event !== null);
  } else {
    return [];
  }
  return state.filter(
    (event) =>
      !inTimeline.has(event) &&
      (!lazy || event.type !== "m.room.member" || wanted.has(event.stateKey ?? "")) &&
      filter.rooms.matchesRoom(room.roomId) &&
      filter.state.matches(event),
  );
}
