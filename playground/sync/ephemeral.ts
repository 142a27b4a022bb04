import type { JsonObject } from "../json.ts";
import type { Room } from "../store/room.ts";

/** Typing and receipts that changed after `since`; null: all there are. */
export function ephemeralEvents(room: Room, userId: string, since: number | null): JsonObject[] {
  const events: JsonObject[] = [];
  const { value, position } = room.typing;
  if (since === null ? value.length > 0 : position > since) {
    events.push({ type: "m.typing", content: { user_ids: value } });
  }
  const receipts: Record<string, Record<string, Record<string, JsonObject>>> = {};
  for (const receipt of room.receipts.values()) {
    if (receipt.position <= (since ?? 0)) continue;
    if (receipt.type === "m.read.private" && receipt.userId !== userId) continue;
    const ofEvent = (receipts[receipt.eventId] ??= {});
    const ofType = (ofEvent[receipt.type] ??= {});
    ofType[receipt.userId] = {
      ts: receipt.ts,
      ...(receipt.threadId === null ? {} : { thread_id: receipt.threadId }),
    };
  }
  if (Object.keys(receipts).length > 0) events.push({ type: "m.receipt", content: receipts });
  return events;
}

/** The room's typing users, or the user's receipts in it, as one ephemeral event. */
export function ephemeralOf(
  room: Room,
  type: "m.typing" | "m.receipt",
  userId: string,
): JsonObject {
  if (type === "m.typing") return { type, content: { user_ids: room.typing.value } };
  const content: Record<string, JsonObject> = {};
  for (const receipt of room.receipts.values()) {
    if (receipt.userId !== userId || receipt.type !== "m.read") continue;
    const data = {
      ts: receipt.ts,
      ...(receipt.threadId === null ? {} : { thread_id: receipt.threadId }),
    };
    content[receipt.eventId] = { "m.read": { [userId]: data } };
  }
  return { type, content };
}
