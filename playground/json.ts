import { badJson } from "./errors.ts";

/** A JSON object as it came in: nothing is known of its members. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether `value` is a JSON object (not an array, not null). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `value` if it is a JSON object, else an empty one. */
export function objectOr(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

/** `value` if it is a string, else null. */
export function stringOr(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** The strings of an array; null if `value` is no array. */
export function stringsOr(value: unknown): readonly string[] | null {
  return Array.isArray(value)
    ? value.filter((item): item is string => typeof item === "string")
    : null;
}

/** The member `name` of `body`, which must be an object. Throws 400 M_BAD_JSON. */
export function requireObject(body: JsonObject, name: string): JsonObject {
  const value = body[name];
  if (!isObject(value)) throw badJson(`'${name}' must be a JSON object`);
  return value;
}

/** JSON text with sorted keys, to compare two values. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    isObject(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
