import { asArray, asObject, asStrings, isObject, type JsonObject } from "./json.ts";

/**
 * Filters, on their way out and on the way back. What a client filters by is hidden inside
 * ciphertext from the homeserver, so its filter is widened before it goes upstream, and applied here
 * to the decrypted events. All functions are pure; filters are never changed in place.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#filtering
 */

/** Timeline events that Kirjava needs to see whatever the client asked for. */
const timelineNeeds = [
  "m.room.encrypted",
  "m.room.encryption",
  "m.room.member",
  "m.room.history_visibility",
];
const stateNeeds = ["m.room.encryption"];

/** The filter of our own sync loop: the feed, and what device lists are computed from. */
export const ownLoopFilter: JsonObject = {
  presence: { types: [] },
  account_data: { types: [] },
  room: {
    account_data: { types: [] },
    ephemeral: { types: [] },
    state: { types: ["m.room.member", "m.room.encryption"] },
    timeline: {
      types: ["m.room.member", "m.room.encryption", "m.room.history_visibility"],
      limit: 20,
    },
  },
};

function without(object: JsonObject, ...names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

/** True where `type` matches one of the patterns; `*` stands for any run of characters. */
function matchesAny(patterns: readonly string[], type: string): boolean {
  return patterns.some((pattern) => {
    if (!pattern.includes("*")) return pattern === type;
    const parts = pattern.split("*");
    const last = parts.pop() ?? "";
    let position = 0;
    for (const [index, part] of parts.entries()) {
      const found = index === 0 ? (type.startsWith(part) ? 0 : -1) : type.indexOf(part, position);
      if (found < 0) return false;
      position = found + part.length;
    }
    return type.length - position >= last.length && type.endsWith(last);
  });
}

/** One room event filter, widened so that it lets `needs` through. */
export function widenEventFilter(filter: JsonObject, needs: readonly string[]): JsonObject {
  const widened = without(filter, "contains_url");
  if (Array.isArray(filter["types"])) {
    const types = asStrings(filter["types"]);
    widened["types"] = [...types, ...needs.filter((need) => !matchesAny(types, need))];
  }
  if (Array.isArray(filter["not_types"])) {
    // Exclusion is done after decryption alone: a pattern such as `m.room.*` would hide ciphertext.
    const kept = asStrings(filter["not_types"]).filter(
      (pattern) => !needs.some((need) => matchesAny([pattern], need)),
    );
    widened["not_types"] = kept;
  }
  return widened;
}

/**
 * The filter that goes upstream in place of a client's own `/sync` filter. `event_fields` is left
 * out: it would prune ciphertext to nothing.
 */
export function widenSyncFilter(filter: JsonObject): JsonObject {
  // The federation format has no top-level `event_id` to work with; clients do not use it.
  const widened = without(filter, "event_fields", "event_format");
  const room = asObject(filter["room"]);
  if (room === null) return widened;
  widened["room"] = {
    ...room,
    ...(isObject(room["timeline"])
      ? { timeline: widenEventFilter(room["timeline"], timelineNeeds) }
      : {}),
    ...(isObject(room["state"]) ? { state: widenEventFilter(room["state"], stateNeeds) } : {}),
  };
  return widened;
}

/** The filter that goes upstream in place of a client's own `/messages` or `/context` filter. */
export function widenMessagesFilter(filter: JsonObject): JsonObject {
  return widenEventFilter(filter, ["m.room.encrypted", "m.room.encryption"]);
}

/** True where a room event, already decrypted, is one that `filter` asks for. */
export function passesEventFilter(event: JsonObject, filter: JsonObject): boolean {
  const type = typeof event["type"] === "string" ? event["type"] : "";
  if (Array.isArray(filter["types"]) && !matchesAny(asStrings(filter["types"]), type)) return false;
  if (Array.isArray(filter["not_types"]) && matchesAny(asStrings(filter["not_types"]), type)) {
    return false;
  }
  const containsUrl = filter["contains_url"];
  if (typeof containsUrl === "boolean") {
    const hasUrl = typeof asObject(event["content"])?.["url"] === "string";
    if (hasUrl !== containsUrl) return false;
  }
  return true;
}

/** The timeline and state parts of a `/sync` filter; `{}` where the client gave none. */
export function roomEventFilters(filter: JsonObject | null): {
  readonly timeline: JsonObject;
  readonly state: JsonObject;
  readonly eventFields: readonly (readonly string[])[] | null;
} {
  const room = asObject(filter?.["room"]);
  const fields = filter?.["event_fields"];
  return {
    timeline: asObject(room?.["timeline"]) ?? {},
    state: asObject(room?.["state"]) ?? {},
    eventFields:
      Array.isArray(fields) && fields.length > 0 ? asArray(fields).map(splitField) : null,
  };
}

/** Splits `content.m\.relates_to` at its unescaped dots. */
function splitField(field: unknown): string[] {
  if (typeof field !== "string") return [];
  return field
    .split(/(?<!\\)\./)
    .map((part) => part.replaceAll("\\.", ".").replaceAll("\\\\", "\\"));
}

/** A copy of the event with only the members that `event_fields` names. */
export function pruneEvent(event: JsonObject, fields: readonly (readonly string[])[]): JsonObject {
  const pruned: JsonObject = {};
  for (const path of fields) copyMember(event, pruned, path);
  return pruned;
}

/** Nothing is made on the way to a member that is not there. */
function copyMember(
  from: JsonObject,
  to: JsonObject,
  [name = "", ...rest]: readonly string[],
): void {
  if (name === "__proto__" || !Object.hasOwn(from, name)) return;
  const value = from[name];
  if (rest.length === 0) {
    to[name] = value;
    return;
  }
  if (!isObject(value)) return;
  const before = Object.hasOwn(to, name) ? asObject(to[name]) : null;
  const within = before === null ? {} : { ...before };
  copyMember(value, within, rest);
  if (Object.keys(within).length > 0) to[name] = within;
}
