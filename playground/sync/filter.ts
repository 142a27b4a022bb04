import { unknownError } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { isObject, objectOr, stringsOr } from "../json.ts";

/** What a filter looks at in an event. */
export interface Filterable {
  readonly type?: unknown;
  readonly sender?: unknown;
  readonly roomId?: string;
  readonly content?: unknown;
}

/**
 * One part of a filter, such as `room.timeline`.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#filtering
 */
export class EventFilter {
  readonly limit: number;
  readonly lazyLoadMembers: boolean;
  readonly #types: readonly string[] | null;
  readonly #notTypes: readonly string[];
  readonly #senders: readonly string[] | null;
  readonly #notSenders: readonly string[];
  readonly #rooms: readonly string[] | null;
  readonly #notRooms: readonly string[];
  readonly #containsUrl: boolean | null;

  constructor(definition: JsonObject = {}) {
    const limit = definition["limit"];
    this.limit = typeof limit === "number" ? limit : 10;
    this.lazyLoadMembers = definition["lazy_load_members"] === true;
    this.#types = stringsOr(definition["types"]);
    this.#notTypes = stringsOr(definition["not_types"]) ?? [];
    this.#senders = stringsOr(definition["senders"]);
    this.#notSenders = stringsOr(definition["not_senders"]) ?? [];
    this.#rooms = stringsOr(definition["rooms"]);
    this.#notRooms = stringsOr(definition["not_rooms"]) ?? [];
    const containsUrl = definition["contains_url"];
    this.#containsUrl = typeof containsUrl === "boolean" ? containsUrl : null;
  }

  /** Whether nothing can pass. */
  get blocksAll(): boolean {
    return (
      this.#types?.length === 0 ||
      this.#notTypes.includes("*") ||
      this.#senders?.length === 0 ||
      this.#notSenders.includes("*") ||
      this.#rooms?.length === 0 ||
      this.#notRooms.includes("*")
    );
  }

  /** Whether the room passes. */
  matchesRoom(roomId: string): boolean {
    return !this.#notRooms.includes(roomId) && (this.#rooms?.includes(roomId) ?? true);
  }

  /** Whether the event passes. */
  matches(event: Filterable): boolean {
    const { type, sender } = event;
    if (event.roomId !== undefined && !this.matchesRoom(event.roomId)) return false;
    if (this.#notSenders.some((value) => value === sender)) return false;
    if (this.#senders !== null && !this.#senders.some((value) => value === sender)) return false;
    if (this.#notTypes.some((pattern) => matchesType(type, pattern))) return false;
    if (this.#types !== null && !this.#types.some((pattern) => matchesType(type, pattern))) {
      return false;
    }
    if (this.#containsUrl === null) return true;
    const hasUrl = typeof objectOr(event.content)["url"] === "string";
    return hasUrl === this.#containsUrl;
  }
}

/** A whole filter, as /sync takes it. */
export class SyncFilter {
  readonly rooms: EventFilter;
  readonly timeline: EventFilter;
  readonly state: EventFilter;
  readonly ephemeral: EventFilter;
  readonly roomAccountData: EventFilter;
  readonly accountData: EventFilter;
  readonly presence: EventFilter;
  readonly includeLeave: boolean;
  readonly eventFields: readonly string[];
  readonly isFederationFormat: boolean;

  constructor(definition: JsonObject = {}) {
    const room = objectOr(definition["room"]);
    const { rooms, not_rooms } = room;
    this.rooms = new EventFilter({ rooms, not_rooms });
    this.timeline = new EventFilter(objectOr(room["timeline"]));
    this.state = new EventFilter(objectOr(room["state"]));
    this.ephemeral = new EventFilter(objectOr(room["ephemeral"]));
    this.roomAccountData = new EventFilter(objectOr(room["account_data"]));
    this.accountData = new EventFilter(objectOr(definition["account_data"]));
    this.presence = new EventFilter(objectOr(definition["presence"]));
    this.includeLeave = room["include_leave"] === true;
    this.eventFields = stringsOr(definition["event_fields"]) ?? [];
    this.isFederationFormat = definition["event_format"] === "federation";
  }
}

/** Throws 400 M_UNKNOWN where a filter has not the shape it must have. */
export function requireValidFilter(definition: JsonObject): void {
  for (const name of ["room", "presence", "account_data"]) {
    requireShape(definition[name], name, isObject);
  }
  requireShape(definition["event_fields"], "event_fields", Array.isArray);
  const room = objectOr(definition["room"]);
  for (const name of ["timeline", "state", "ephemeral", "account_data"]) {
    requireShape(room[name], `room.${name}`, isObject);
    const part = objectOr(room[name]);
    for (const list of ["types", "not_types", "senders", "not_senders", "rooms", "not_rooms"]) {
      requireShape(part[list], `room.${name}.${list}`, Array.isArray);
    }
    requireShape(part["limit"], `room.${name}.limit`, (value) => typeof value === "number");
  }
  requireShape(room["rooms"], "room.rooms", Array.isArray);
  requireShape(room["not_rooms"], "room.not_rooms", Array.isArray);
}

/** The filter with `room.timeline.limit` at most `limit`; -1: as it is. */
export function withTimelineLimit(definition: JsonObject, limit: number): JsonObject {
  const room = objectOr(definition["room"]);
  const timeline = objectOr(room["timeline"]);
  const asked = timeline["limit"];
  if (limit < 0 || typeof asked !== "number" || asked <= limit) return definition;
  return { ...definition, room: { ...room, timeline: { ...timeline, limit } } };
}

function requireShape(value: unknown, name: string, isRight: (value: unknown) => boolean): void {
  if (value !== undefined && !isRight(value)) {
    throw unknownError(`${JSON.stringify(value)} is not of the right type for '${name}'`);
  }
}

function matchesType(type: unknown, pattern: string): boolean {
  if (!pattern.endsWith("*")) return type === pattern;
  return typeof type === "string" && type.startsWith(pattern.slice(0, -1));
}
