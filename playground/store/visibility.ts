import type { Membership, Room, RoomEvent } from "./room.ts";
import { membershipOf } from "./room.ts";

/** Whether the user may read the event, by the room's history visibility when it was sent. */
export function isVisible(room: Room, event: RoomEvent, userId: string): boolean {
  if (event.type === "m.room.member" && event.stateKey === userId) return true;
  const membership = room.membership(userId, event.position);
  if (membership === "join") return true;
  const visibility = visibilityAt(room, event);
  if (visibility === "world_readable") return true;
  if (visibility === "invited" && membership === "invite") return true;
  if (visibility === "joined" || visibility === "invited") return false;
  // "shared": whoever joined at any time afterwards reads what was before
  return room
    .membershipHistory(userId)
    .some((change) => change.position > event.position && membershipOf(change) === "join");
}

function visibilityAt(room: Room, event: RoomEvent): string {
  const stateType = "m.room.history_visibility";
  const now = room.state(stateType, "", event.position)?.content["history_visibility"];
  return typeof now === "string" ? now : "shared";
}

/** The position up to which the user reads the room: its own last leave, or the end. */
export function readableUpTo(room: Room, userId: string): number {
  const last = room.membershipHistory(userId).at(-1);
  const membership: Membership | null = membershipOf(last ?? null);
  if (last !== undefined && (membership === "leave" || membership === "ban")) return last.position;
  return Infinity;
}
