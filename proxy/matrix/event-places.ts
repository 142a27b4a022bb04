import type { RoomId } from "./identifiers.ts";
import { asArray, asObject, asString, isObject, type JsonObject } from "./json.ts";

/**
 * Where each shape of response holds room events: the names on the way to a list of events or to a
 * single one. `*` stands for every member of a list; no name at all for the response itself.
 */
const shapes = {
  messages: [["chunk"], ["state"]],
  context: [["events_before"], ["event"], ["events_after"], ["state"]],
  event: [[]],
  eventById: [[]],
  events: [["chunk"]],
  initialSync: [
    ["rooms", "*", "messages", "chunk"],
    ["rooms", "*", "state"],
    ["rooms", "*", "invite"],
  ],
  roomInitialSync: [["messages", "chunk"], ["state"]],
  relations: [["chunk"], ["original_event"]],
  threads: [["chunk"]],
  notifications: [["notifications", "*", "event"]],
} as const satisfies Record<string, readonly (readonly string[])[]>;

/** A response with room events that is not a sync, by the name of its endpoint. */
export type ReadShape = keyof typeof shapes;

/** A list of events, or a single event, within a response: `holder[name]`. */
export interface EventPlace {
  readonly holder: JsonObject;
  readonly name: string;
  /** The room that the response names around the place; `null` where it names none. */
  readonly roomId: RoomId | null;
}

/**
 * Every place of a response that is there.
 *
 * @param root - holds the response as its member `response`, so that it has a place too
 */
export function eventPlaces(shape: ReadShape, root: { response: JsonObject }): EventPlace[] {
  return shapes[shape].flatMap((path) => walk(root, ["response", ...path], null));
}

function walk(holder: JsonObject, path: readonly string[], room: RoomId | null): EventPlace[] {
  const [name = "", ...rest] = path;
  const roomId = (asString(holder["room_id"]) as RoomId | null) ?? room;
  if (rest.length === 0) return Object.hasOwn(holder, name) ? [{ holder, name, roomId }] : [];
  if (rest[0] === "*") {
    const members = asArray(holder[name]).filter(isObject);
    return members.flatMap((member) => walk(member, rest.slice(1), roomId));
  }
  const next = asObject(holder[name]);
  return next === null ? [] : walk(next, rest, roomId);
}
