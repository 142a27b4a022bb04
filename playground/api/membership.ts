import type { Call } from "../call.ts";
import { ApiError, forbidden, missingParam, notFound } from "../errors.ts";
import { stringOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { Membership, Room } from "../store/room.ts";
import type { ApiContext } from "./context.ts";
import { requireUserId } from "./create-room.ts";
import { memberContent } from "./member-content.ts";

/** Joining, inviting, leaving, kicking, banning, knocking, forgetting. */
export function membershipRoutes(context: ApiContext): Route[] {
  const { rooms, accounts } = context.store;

  const change = (
    room: Room,
    sender: string,
    target: string,
    membership: Membership,
    reason: string | null,
  ): void => {
    const user = accounts.users.get(target);
    const hasProfile = membership === "join" || membership === "invite" || membership === "knock";
    rooms.send(room, {
      type: "m.room.member",
      sender,
      stateKey: target,
      content: {
        ...(hasProfile && user !== undefined ? memberContent(user) : {}),
        membership,
        ...(reason === null ? {} : { reason }),
      },
    });
  };
  const find = (roomIdOrAlias: string): Room => {
    if (!roomIdOrAlias.startsWith("#")) {
      const room = rooms.all.get(roomIdOrAlias);
      if (room !== undefined) return room;
      throw new ApiError(
        404,
        "M_UNKNOWN",
        "Can't join remote room because no servers that are in the room have been provided.",
      );
    }
    const alias = rooms.aliases.get(roomIdOrAlias);
    if (alias === undefined) throw notFound(`Room alias ${roomIdOrAlias} not found`);
    return rooms.get(alias.roomId);
  };
  const enter =
    (membership: "join" | "knock") =>
    (call: Call): Reply => {
      const { userId } = call.requester();
      const reason = stringOr(call.jsonOrEmpty()["reason"]);
      const room = find(call.param("roomId"));
      if (room.membership(userId) !== membership) change(room, userId, userId, membership, reason);
      return ok({ room_id: room.roomId });
    };
  const leave = (call: Call): Reply => {
    const { userId } = call.requester();
    const room = rooms.all.get(call.param("roomId"));
    if (room === undefined) throw notFound("Not a known room");
    const reason = stringOr(call.jsonOrEmpty()["reason"]);
    if (room.membership(userId) !== "leave") change(room, userId, userId, "leave", reason);
    return ok();
  };
  const target =
    (membership: "invite" | "leave" | "ban", isUnban = false) =>
    (call: Call): Reply => {
      const { userId } = call.requester();
      const body = call.json();
      const other = stringOr(body["user_id"]);
      if (other === null) throw missingParam("Missing params: ['user_id']");
      requireUserId(other);
      const room = rooms.get(call.param("roomId"));
      const current = room.membership(other);
      if (isUnban && current !== "ban") {
        throw new ApiError(403, "M_BAD_STATE", "Cannot unban user who was not banned");
      }
      if (membership === "leave" && !isUnban && (current === null || current === "leave")) {
        throw forbidden("The target user is not in the room");
      }
      if (current !== membership) {
        change(room, userId, other, membership, stringOr(body["reason"]));
      }
      return ok();
    };
  const forget = (call: Call): Reply => {
    const { user, userId } = call.requester();
    const room = rooms.get(call.param("roomId"));
    const membership = room.membership(userId);
    if (membership === "join" || membership === "invite") {
      throw new ApiError(400, "M_UNKNOWN", `User ${userId} in room ${room.roomId}`);
    }
    user.forgotten.add(room.roomId);
    return ok();
  };
  const joinedRooms = (call: Call): Reply => {
    const { userId } = call.requester();
    return ok({ joined_rooms: rooms.of(userId, "join").map((room) => room.roomId) });
  };
  const routes = [
    ["rooms/{roomId}/join", enter("join")],
    ["rooms/{roomId}/leave", leave],
    ["rooms/{roomId}/invite", target("invite")],
    ["rooms/{roomId}/kick", target("leave")],
    ["rooms/{roomId}/ban", target("ban")],
    ["rooms/{roomId}/unban", target("leave", true)],
    ["rooms/{roomId}/forget", forget],
    ["join/{roomId}", enter("join")],
  ] as const;
  return [
    ...routes.flatMap(([path, handler]) => client("POST", path, handler, ["api/v1"])),
    ...client("POST", "knock/{roomId}", enter("knock")),
    ...client("GET", "joined_rooms", joinedRooms, ["api/v1"]),
  ];
}
