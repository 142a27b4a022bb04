import type { Call } from "../call.ts";
import { ApiError, invalidParam, notFound } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { isObject, objectOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { Room, RoomEvent } from "../store/room.ts";
import { isVisible, readableUpTo } from "../store/visibility.ts";
import { decodeToken, encodeToken } from "../stream-token.ts";
import { clientEvent, clientStateEvent } from "../sync/client-event.ts";
import type { Reader } from "../sync/client-event.ts";
import { EventFilter } from "../sync/filter.ts";
import type { ApiContext } from "./context.ts";

/** What happened in a room: messages, context, single events. */
export function historyRoutes(context: ApiContext): Route[] {
  const { rooms, toDevice, notifier } = context.store;

  const token = (main: number): string => encodeToken({ main, toDevice: toDevice.position });
  const messages = (call: Call): Reply => {
    const { room, reader, end } = open(context, call);
    const direction = call.query.get("dir") ?? "f";
    if (direction !== "b" && direction !== "f") {
      throw invalidParam("Query parameter 'dir' must be one of ['b', 'f']");
    }
    const backwards = direction === "b";
    const filter = filterOf(call);
    const from = positionOf(call, "from") ?? (backwards ? notifier.position : 0);
    const to = positionOf(call, "to") ?? (backwards ? 0 : Infinity);
    const limit = call.integer("limit", 10);
    const passes = (event: RoomEvent): boolean =>
      filter.matches(event) && isVisible(room, event, reader.userId);
    const range = backwards
      ? room.between(to, Math.min(from, end)).toReversed()
      : room.between(from, Math.min(to, end));
    const found: RoomEvent[] = [];
    for (const event of range) {
      if (found.length >= limit) break;
      if (passes(event)) found.push(event);
    }
    const last = found.at(-1);
    return ok({
      chunk: found.map((event) => clientEvent(room, event, reader)),
      start: token(from),
      ...(last === undefined ? {} : { end: token(backwards ? last.position - 1 : last.position) }),
      ...lazyMembers(room, filter, found, reader),
    });
  };
  const single = (call: Call): Reply => {
    const { room, reader, end } = open(context, call);
    return ok(clientEvent(room, visibleEvent(room, call, reader, end), reader));
  };
  const around = (call: Call): Reply => {
    const { room, reader, end } = open(context, call);
    const event = visibleEvent(room, call, reader, end);
    const limit = call.integer("limit", 10);
    const filter = filterOf(call);
    const passes = (other: RoomEvent): boolean =>
      filter.matches(other) && isVisible(room, other, reader.userId);
    const half = Math.floor(limit / 2);
    const earlier = room.between(0, event.position - 1).filter(passes);
    const before = half > 0 ? earlier.slice(-half).toReversed() : [];
    const after = room
      .between(event.position, end)
      .filter(passes)
      .slice(0, limit - half);
    const last = after.at(-1) ?? event;
    const first = before.at(-1) ?? event;
    const write = (other: RoomEvent): JsonObject => clientEvent(room, other, reader);
    const senders = new Set([event, ...before, ...after].map((other) => other.sender));
    const state = room
      .stateAt(last.position)
      .filter(
        (other) =>
          filter.matches(other) &&
          (!filter.lazyLoadMembers ||
            other.type !== "m.room.member" ||
            senders.has(other.stateKey ?? "")),
      );
    return ok({
      event: write(event),
      events_before: before.map(write),
      events_after: after.map(write),
      state: state.map((other) => clientStateEvent(room, other, reader)),
      start: token(first.position - 1),
      end: token(last.position),
    });
  };
  const anywhere = (call: Call): Reply => {
    const { userId, deviceId } = call.requester();
    for (const room of rooms.of(userId, "join", "leave")) {
      const event = room.byId.get(call.param("eventId"));
      if (event === undefined || !isVisible(room, event, userId)) continue;
      return ok(clientEvent(room, event, { userId, deviceId }));
    }
    throw notFound("Event not found.");
  };
  const old = ["api/v1"];
  return [
    ...client("GET", "rooms/{roomId}/messages", messages, old),
    ...client("GET", "rooms/{roomId}/event/{eventId}", single, old),
    ...client("GET", "rooms/{roomId}/context/{eventId}", around, old),
    ...client("GET", "events/{eventId}", anywhere, old),
  ];
}

/** A room that the requester may read, and how far. */
export function open(
  context: ApiContext,
  call: Call,
): { readonly room: Room; readonly reader: Reader; readonly end: number } {
  const { userId, deviceId } = call.requester();
  const room = context.store.rooms.requireReadable(call.param("roomId"), userId);
  return { room, reader: { userId, deviceId }, end: readableUpTo(room, userId) };
}

/** The event that the path names. Throws 404 unless the reader may see it. */
export function visibleEvent(room: Room, call: Call, reader: Reader, end: number): RoomEvent {
  const event = room.byId.get(call.param("eventId"));
  if (event === undefined || event.position > end || !isVisible(room, event, reader.userId)) {
    throw notFound("Event not found.");
  }
  return event;
}

/** The position of a token in the query; null if it is not there. */
export function positionOf(call: Call, name: string): number | null {
  const text = call.query.get(name);
  return text === null || text === "" ? null : decodeToken(text).main;
}

function filterOf(call: Call): EventFilter {
  const text = call.query.get("filter");
  if (text === null) return new EventFilter();
  let value: unknown;
  try {
    value = JSON.parse(text) as unknown;
  } catch {
    throw new ApiError(400, "M_NOT_JSON", "Query parameter 'filter' is not JSON");
  }
  if (!isObject(value)) throw invalidParam("Query parameter 'filter' must be an object");
  return new EventFilter(objectOr(value));
}

function lazyMembers(
  room: Room,
  filter: EventFilter,
  events: readonly RoomEvent[],
  reader: Reader,
): JsonObject {
  if (!filter.lazyLoadMembers || events.length === 0) return {};
  const senders = [...new Set(events.map((event) => event.sender))];
  const members = senders
    .map((sender) => room.state("m.room.member", sender))
    .filter((event) => event !== null);
  return { state: members.map((event) => clientStateEvent(room, event, reader)) };
}
