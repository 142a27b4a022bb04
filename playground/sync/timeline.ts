import type { Room, RoomEvent } from "../store/room.ts";
import { isVisible } from "../store/visibility.ts";
import type { EventFilter } from "./filter.ts";

/** A part of a room's timeline. */
export interface Timeline {
  readonly events: readonly RoomEvent[];
  readonly limited: boolean;
  /** Position before the first event: where going back starts. */
  readonly start: number;
}

const MAX_ROUNDS = 5;

/**
 * The newest events after `since` and up to `to` that the filter lets through, at most its limit.
 * As Synapse does it: where more than the limit happened it looks back in a few rounds only, so that a filter which
 * drops most events leads to a limited timeline.
 */
export function recentTimeline(o: {
  readonly room: Room;
  readonly userId: string;
  readonly filter: EventFilter;
  /** Null: from the beginning. */
  readonly since: number | null;
  readonly to: number;
  readonly isNewlyJoined: boolean;
}): Timeline {
  const { room, filter, userId } = o;
  const passes = (event: RoomEvent): boolean =>
    filter.matches(event) && isVisible(room, event, userId);
  const from = room.indexAfter(o.isNewlyJoined ? 0 : (o.since ?? 0));
  const end = room.indexAfter(o.to);
  const total = end - from;
  if (filter.blocksAll || (o.since !== null && !o.isNewlyJoined && total <= filter.limit)) {
    const events = filter.blocksAll ? [] : room.events.slice(from, end).filter(passes);
    return { events, limited: false, start: events[0] ? events[0].position - 1 : o.to };
  }
  const step = Math.max(filter.limit * 2, 10);
  let at = end;
  let events: RoomEvent[] = [];
  for (let round = 0; round < MAX_ROUNDS && at > from && events.length < filter.limit; round++) {
    const lower = Math.max(from, at - step);
    events = [...room.events.slice(lower, at).filter(passes), ...events];
    at = lower;
  }
  let limited = at > from || o.isNewlyJoined;
  let start = (room.events[at]?.position ?? o.to + 1) - 1;
  if (events.length > filter.limit) {
    limited = true;
    events = filter.limit > 0 ? events.slice(-filter.limit) : [];
    start = (events[0]?.position ?? o.to + 1) - 1;
  }
  return { events, limited, start };
}
