import { asObject, type JsonObject } from "./json.ts";

/** An event that a homeserver put into another one. */
export interface BundledEvent {
  readonly event: JsonObject;
  /** A copy of the outer event with another event in this place. */
  readonly replace: (outer: JsonObject, by: JsonObject) => JsonObject;
}

/**
 * Where events hold whole events; the rest of the aggregations are counts and ids. Outside of `/sync`
 * a homeserver copies some of `unsigned` to the top level, as older versions had it.
 */
const places: readonly (readonly string[])[] = [
  ["unsigned", "m.relations", "m.replace"],
  ["unsigned", "m.relations", "m.thread", "latest_event"],
  ["unsigned", "redacted_because"],
  ["redacted_because"],
];

/**
 * The newest edit, the newest event of the thread and the redaction, as they come with an event.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#aggregations-of-child-events
 */
export function bundledEvents(outer: JsonObject): readonly BundledEvent[] {
  if (!mayBundle(outer)) return none;
  const found: BundledEvent[] = [];
  for (const place of places) {
    let value: JsonObject | null = outer;
    for (const name of place) {
      value = value !== null && Object.hasOwn(value, name) ? asObject(value[name]) : null;
    }
    if (value === null) continue;
    found.push({ event: value, replace: (from, by) => withAt(from, place, by) });
  }
  return found;
}

const none: readonly BundledEvent[] = [];

/** Most events of a sync hold nothing: they are told apart without a walk. */
function mayBundle(outer: JsonObject): boolean {
  if (Object.hasOwn(outer, "redacted_because")) return true;
  const unsigned = asObject(outer["unsigned"]);
  if (unsigned === null) return false;
  return Object.hasOwn(unsigned, "m.relations") || Object.hasOwn(unsigned, "redacted_because");
}

function withAt(from: JsonObject, place: readonly string[], by: JsonObject): JsonObject {
  const [name = "", ...rest] = place;
  if (rest.length === 0) return { ...from, [name]: by };
  return { ...from, [name]: withAt(asObject(from[name]) ?? {}, rest, by) };
}
