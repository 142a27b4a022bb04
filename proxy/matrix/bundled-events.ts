import { asObject, type JsonObject } from "./json.ts";

/** An event that a homeserver put into another one's `unsigned`. */
export interface BundledEvent {
  readonly event: JsonObject;
  /** A copy of the outer event with another event in this place. */
  readonly replace: (outer: JsonObject, by: JsonObject) => JsonObject;
}

/** Where aggregations hold whole events; the rest of them are counts and ids. */
const places: readonly (readonly string[])[] = [
  ["unsigned", "m.relations", "m.replace"],
  ["unsigned", "m.relations", "m.thread", "latest_event"],
];

/**
 * The newest edit and the newest event of the thread, as they come with an event.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#aggregations-of-child-events
 */
export function bundledEvents(outer: JsonObject): BundledEvent[] {
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

function withAt(from: JsonObject, place: readonly string[], by: JsonObject): JsonObject {
  const [name = "", ...rest] = place;
  if (rest.length === 0) return { ...from, [name]: by };
  return { ...from, [name]: withAt(asObject(from[name]) ?? {}, rest, by) };
}
