import type { JsonObject } from "../json.ts";
import { objectOr } from "../json.ts";
import type { Room, RoomEvent } from "../store/room.ts";

/** For whom an event is written out. */
export interface Reader {
  readonly userId: string;
  readonly deviceId: string | null;
}

const COPIED = ["age", "redacted_because", "replaces_state", "prev_content"];

/** How an event and the events inside it are written. */
type Format = (event: RoomEvent, written: JsonObject) => JsonObject;

/**
 * An event as clients see it outside of /sync: with `room_id`, `user_id` and, as Synapse still does it, some of `unsigned`
 * at the top level. Without a reader: as appservices see it.
 */
export function clientEvent(room: Room, event: RoomEvent, reader: Reader | null): JsonObject {
  return timelineEvent(room, event, reader, oldFormat, true);
}

/** A state event outside of /sync; unlike an event of the timeline it does not tell the reader's membership. */
export function clientStateEvent(room: Room, event: RoomEvent, reader: Reader): JsonObject {
  return plainEvent(room, event, reader, oldFormat, {});
}

/** An event of a timeline in a /sync response, without `room_id`; relations are bundled only after a gap. */
export function syncEvent(
  room: Room,
  event: RoomEvent,
  reader: Reader,
  isBundled: boolean,
): JsonObject {
  return timelineEvent(room, event, reader, syncFormat, isBundled);
}

/** A state event as it stands in a `state` section. */
export function syncStateEvent(room: Room, event: RoomEvent, reader: Reader): JsonObject {
  return plainEvent(room, event, reader, syncFormat, {});
}

const syncFormat: Format = (_event, written) => written;

const oldFormat: Format = (event, written) => {
  const unsigned = objectOr(written["unsigned"]);
  const copied = COPIED.filter((name) => name in unsigned).map((name) => [name, unsigned[name]]);
  const top = Object.fromEntries(copied) as JsonObject;
  return { ...written, room_id: event.roomId, user_id: event.sender, ...top };
};

/** A state event as outsiders see it. */
export function strippedEvent(event: RoomEvent): JsonObject {
  const { type, sender, content } = event;
  return { type, state_key: event.stateKey, sender, content };
}

function timelineEvent(
  room: Room,
  event: RoomEvent,
  reader: Reader | null,
  format: Format,
  isBundled: boolean,
): JsonObject {
  const relations = isBundled ? bundledRelations(room, event, reader, format) : null;
  return plainEvent(room, event, reader, format, {
    ...(reader === null
      ? {}
      : { membership: room.membership(reader.userId, event.position) ?? "leave" }),
    ...(relations === null ? {} : { "m.relations": relations }),
  });
}

function plainEvent(
  room: Room,
  event: RoomEvent,
  reader: Reader | null,
  format: Format,
  extra: JsonObject,
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
          redacted_because: plainEvent(room, redactedBy, reader, format, {}),
        }),
    ...extra,
  };
  return format(event, {
    type: event.type,
    sender: event.sender,
    content: event.content,
    ...(event.stateKey === null ? {} : { state_key: event.stateKey }),
    origin_server_ts: event.originServerTs,
    unsigned,
    event_id: event.eventId,
    ...(redacts === null ? {} : { redacts }),
  });
}

function bundledRelations(
  room: Room,
  event: RoomEvent,
  reader: Reader | null,
  format: Format,
): JsonObject | null {
  const related = room.relations.get(event.eventId);
  if (related === undefined || related.length === 0 || event.redactedBy !== null) return null;
  const byType = (relType: string): RoomEvent[] =>
    related.filter((other) => objectOr(other.content["m.relates_to"])["rel_type"] === relType);
  const references = byType("m.reference");
  const replacement = byType("m.replace").findLast((other) => other.sender === event.sender);
  const thread = byType("m.thread");
  const latest = thread.at(-1);
  const whole = (other: RoomEvent): JsonObject => plainEvent(room, other, reader, format, {});
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
