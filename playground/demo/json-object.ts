/** A parsed JSON object. */
export type JsonObject = Record<string, unknown>;

/** The value as an object; an empty one where it is anything else. */
export function asObject(value: unknown): JsonObject {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as JsonObject) : {};
}

/** The objects of an array. */
export function asObjects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.map(asObject) : [];
}

/** The timeline events of all joined rooms in a sync response, with their rooms. */
export function timelineEvents(response: JsonObject): { roomId: string; event: JsonObject }[] {
  const joined = asObject(asObject(response["rooms"])["join"]);
  return Object.entries(joined).flatMap(([roomId, room]) =>
    asObjects(asObject(asObject(room)["timeline"])["events"]).map((event) => ({ roomId, event })),
  );
}
