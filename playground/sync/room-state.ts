import type { Room, RoomEvent } from "../store/room.ts";
import type { SyncFilter } from "./filter.ts";
import type { Timeline } from "./timeline.ts";

/**
 * The state that a room section holds: what was in force before its timeline and what changed within it unseen, or what
 * of that is newer than `since`. A timeline that shows all there was has none, but for the senders' memberships where
 * members are loaded lazily; one that the filter tore holes into has the state that fell through them.
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
  const inTimeline = new Set(timeline.events);
  let state: RoomEvent[];
  if (o.since !== null && !timeline.limited && isContiguous(room, timeline, o.since)) {
    if (!lazy) return [];
    const before = startOf(timeline, o.to);
    state = [...wanted]
      .map((sender) => room.state("m.room.member", sender, before))
      .filter((event) => event !== null);
  } else {
    const { since } = o;
    const both = [...room.stateAt(startOf(timeline, o.to)), ...room.stateAt(o.to)].filter(
      (event) =>
        !inTimeline.has(event) &&
        (since === null || event.position > since || (lazy && event.type === "m.room.member")),
    );
    state = [
      ...new Map(both.map((event) => [`${event.type} ${event.stateKey ?? ""}`, event])).values(),
    ];
  }
  return state.filter(
    (event) =>
      !inTimeline.has(event) &&
      (!lazy || event.type !== "m.room.member" || wanted.has(event.stateKey ?? "")) &&
      filter.rooms.matchesRoom(room.roomId) &&
      filter.state.matches(event),
  );
}

function startOf(timeline: Timeline, to: number): number {
  const first = timeline.events[0];
  return first === undefined ? to : first.position - 1;
}

// what is missing at the end only does not count, as on Synapse
function isContiguous(room: Room, timeline: Timeline, since: number): boolean {
  const from = room.indexAfter(since);
  return timeline.events.every((event, index) => room.events[from + index] === event);
}
