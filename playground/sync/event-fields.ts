import type { JsonObject } from "../json.ts";
import { isObject } from "../json.ts";

/** The event with nothing but the fields that a filter's `event_fields` names; none named: all of it. */
export function onlyFields(event: JsonObject, fields: readonly string[]): JsonObject {
  if (fields.length === 0) return event;
  const result: Record<string, unknown> = {};
  for (const field of fields) copy(event, result, splitField(field));
  return result;
}

function copy(from: JsonObject, to: Record<string, unknown>, path: readonly string[]): void {
  const [name, ...rest] = path;
  if (name === undefined || !Object.hasOwn(from, name)) return;
  const value = from[name];
  if (rest.length === 0) {
    to[name] = value;
    return;
  }
  if (!isObject(value)) return;
  const existing = to[name];
  const inner: Record<string, unknown> = isObject(existing) ? { ...existing } : {};
  copy(value, inner, rest);
  if (Object.keys(inner).length > 0) to[name] = inner;
}

// a dot or a backslash in a name is written with a backslash before it
function splitField(field: string): string[] {
  const parts = [""];
  for (let i = 0; i < field.length; i++) {
    let character = field.charAt(i);
    if (character === ".") {
      parts.push("");
      continue;
    }
    if (character === "\\" && /[\\.]/.test(field.charAt(i + 1))) character = field.charAt(++i);
    parts.push((parts.pop() ?? "") + character);
  }
  return parts;
}
