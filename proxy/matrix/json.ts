/** A parsed JSON object. Members are unknown until a reader has looked at them. */
export type JsonObject = Record<string, unknown>;

/** True for a JSON object: not null, not an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value as an object, or `null` where it is anything else. */
export function asObject(value: unknown): JsonObject | null {
  return isObject(value) ? value : null;
}

/** The value as an array, or an empty one where it is anything else. */
export function asArray(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

/** The value as a string, or `null` where it is anything else. */
export function asString(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** The strings of an array; other members are left out. */
export function asStrings(value: unknown): string[] {
  return asArray(value).filter((item): item is string => typeof item === "string");
}

/** Parses JSON text to an object; `null` where it is no JSON or no object. */
export function parseObject(text: string): JsonObject | null {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return null;
  }
}
