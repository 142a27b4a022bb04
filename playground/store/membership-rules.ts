import { ApiError, forbidden } from "../errors.ts";
import { PowerLevels } from "./power-levels.ts";
import type { Membership, Room } from "./room.ts";

/**
 * Throws 403 unless `sender` may give `target` the membership.
 *
 * @see https://spec.matrix.org/v1.16/rooms/v10/#authorization-rules
 */
export function requireMembershipChange(
  room: Room,
  sender: string,
  target: string,
  membership: Membership,
): void {
  const levels = new PowerLevels(room);
  const current = room.membership(target);
  const senderMembership = room.membership(sender);
  if (membership === "join" || membership === "knock") {
    if (sender !== target) throw forbidden("Cannot force another user to join.");
    if (current === "ban") {
      throw new ApiError(403, "M_BAD_STATE", "Cannot join user who was banned");
    }
    const rule = room.state("m.room.join_rules")?.content["join_rule"] ?? "invite";
    if (membership === "knock") {
      if (rule !== "knock") throw forbidden("You don't have permission to knock");
      if (current === "join" || current === "invite") {
        throw forbidden(
          `You cannot knock on a room you are ${current === "join" ? "in" : "invited to"}.`,
        );
      }
      return;
    }
    const isCreator = room.events.length === 1 && room.events[0]?.sender === sender;
    if (current === "join" || current === "invite" || rule === "public" || isCreator) return;
    throw forbidden("You are not invited to this room.");
  }
  if (membership === "leave" && sender === target) {
    if (current === "join" || current === "invite" || current === "knock") return;
    throw forbidden(
      current === "ban"
        ? "You are banned from this room"
        : `User ${sender} not in room ${room.roomId}`,
    );
  }
  if (senderMembership !== "join") throw forbidden(`${sender} not in room ${room.roomId}.`);
  const own = levels.of(sender);
  if (membership === "invite") {
    if (current === "ban") throw forbidden(`${target} is banned from the room`);
    if (current === "join") throw forbidden(`${target} is already in the room.`);
    if (own < levels.toAct("invite")) {
      throw forbidden("You don't have permission to invite users");
    }
    return;
  }
  if (membership === "leave" && current === "ban") {
    if (own < levels.toAct("ban")) throw forbidden(`You cannot unban user ${target}.`);
    return;
  }
  const action = membership === "ban" ? "ban" : "kick";
  if (own < levels.toAct(action) || own <= levels.of(target)) {
    throw forbidden(
      action === "ban" ? "You don't have permission to ban" : `You cannot kick user ${target}.`,
    );
  }
}
