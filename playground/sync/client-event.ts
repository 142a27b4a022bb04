import type { JsonObject } from "../json.ts";
import { objectOr } from "../json.ts";
import type { Room, RoomEvent } from "../store/room.ts";

/** For whom an event is written out. */
export interface Reader {
  readonly userId: string;
  readonly deviceId: string | null;
}

/** An event as clients see it, with `room_id`. Without a reader: as appservices see it. */
export function clientEvent(room: Room, event: RoomEvent, reader: Reader | null): JsonObject {
  const bundle = bundledRelations(room, event, reader);
  return { ...plainEvent(room, event, reader, bundle), room_id: event.roomId };
}

/** An event as it stands in a /sync response, without `room_id`. */
export function syncEvent(room: Room, event: RoomEvent, reader: Reader): JsonObject {
  return plainEvent(room, event, reader, bundledRelations(room, event, reader));
}

/** A state event as outsiders see it. */
export function strippedEvent(event: RoomEvent): JsonObject {
  const { type, sender, content } = event;
  return { type, state_key: event.stateKey, sender, content };
}

function plainEvent(
  room: Room,
  event: RoomEvent,
  reader: Reader | null,
  relations: JsonObject | null,
): JsonObject {
  const { redacts, redactedBy, replaces } = event;
  const isOwn =
    reader !== null &&
    event.origin !== null &&
    reader.userId === event.sender &&
    reader.deviceId === event.origin.deviceId;
  const unsigned = {
    age: Math.max(0, Date.now() - event.originServerTs),
    ...(isOwn ? { transaction_id: event.origin.txnId } : {}),
    ...(reader === null
      ? {}
      : { membership: room.membership(reader.userId, event.position) ?? "leave" }),
    ...(replaces === null
      ? {}
      : {
          replaces_state: replaces.eventId,
          prev_content: replaces.content,
          prev_sender: replaces.sender,
        }),
    ...(redactedBy === null
      ? {}
      : {
          redacted_by: redactedBy.eventId,
          redacted_because: {
            ...plainEvent(room, redactedBy, reader, null),
            room_id: event.roomId,
          },
        }),
    ...(relations === null ? {} : { "m.relations": relations }),
  };
  return {
    type: event.type,
    sender: event.sender,
    content: event.content,
    ...(event.stateKey === null ? {} : { state_key: event.stateKey }),
    origin_server_ts: event.originServerTs,
    unsigned,
    event_id: event.eventId,
    ...(redacts === null ? {} : { redacts }),
  };
}

function bundledRelations(room: Room, event: RoomEvent, reader: Reader | null): JsonObject | null {
  const related = room.relations.get(event.eventId);
  if (related === undefined || related.length === 0 || event.redactedBy !== null) return null;
  const byType = (relType: string): RoomEvent[] =>
    related.filter((other) => objectOr(other.content["m.relates_to"])["rel_type"] === relType);
  const references = byType("m.reference");
  const replacement = byType("m.replace").findLast((other) => other.sender === event.sender);
  const thread = byType("m.thread");
  const latest = thread.at(-1);
  const whole = (other: RoomEvent): JsonObject => ({
    ...plainEvent(room, other, reader, null),
    room_id: other.roomId,
  });
  const bundle: JsonObject = {
    ...(references.length === 0
      ? {}
      : { "m.reference": { chunk: references.map((other) => ({ event_id: other.eventId })) } }),
    ...(replacement === undefined ? {} : { "m.replace": whole(replacement) }),
    ...(latest === undefined
      ? {}
      : {
          "m.thread": {
            latest_event: whole(latest),
            count: thread.length,
            current_user_participated:
              event.sender === reader?.userId ||
              thread.some((other) => other.sender === reader?.userId),
          },
        }),
  };
  return Object.keys(bundle).length === 0 ? null : bundle;
}
