import { unknownError } from "../errors.ts";
import type { JsonObject } from "../json.ts";

const STRINGS: Readonly<Record<string, readonly string[]>> = {
  "m.room.message": ["body", "msgtype"],
  "m.room.topic": ["topic"],
  "m.room.name": ["name"],
};

/** Throws 400 M_UNKNOWN where a well-known type lacks the strings that Synapse insists on. */
export function requireValidContent(type: string, content: JsonObject): void {
  for (const name of STRINGS[type] ?? []) {
    if (!(name in content)) throw unknownError(`'${name}' not in content`);
    if (typeof content[name] !== "string") throw unknownError(`'${name}' not a string type`);
  }
}
