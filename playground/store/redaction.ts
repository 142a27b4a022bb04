import type { JsonObject } from "../json.ts";

const KEPT: Readonly<Record<string, readonly string[]>> = {
  "m.room.member": ["membership", "join_authorised_via_users_server"],
  "m.room.create": ["creator", "room_version", "m.federate"],
  "m.room.join_rules": ["join_rule", "allow"],
  "m.room.power_levels": [
    "ban",
    "events",
    "events_default",
    "kick",
    "redact",
    "state_default",
    "users",
    "users_default",
    "invite",
  ],
  "m.room.history_visibility": ["history_visibility"],
};

/** What redaction leaves of an event's content. */
export function redactedContent(type: string, content: JsonObject): JsonObject {
  const kept = KEPT[type] ?? [];
  return Object.fromEntries(Object.entries(content).filter(([name]) => kept.includes(name)));
}
