import type { Call } from "../call.ts";
import { ApiError, forbidden, missingParam, notFound } from "../errors.ts";
import { stringOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { ApiContext } from "./context.ts";

/** Room aliases and the list of public rooms. */
export function directoryRoutes(context: ApiContext): Route[] {
  const { rooms } = context.store;

  const get = (call: Call): Reply => {
    const alias = rooms.aliases.get(call.param("alias"));
    if (alias === undefined) throw notFound(`Room alias ${call.param("alias")} not found`);
    return ok({ room_id: alias.roomId, servers: [context.settings.serverName] });
  };
  const put = (call: Call): Reply => {
    const { userId } = call.requester();
    const roomId = stringOr(call.json()["room_id"]);
    if (roomId === null) throw missingParam("Missing room_id");
    const alias = call.param("alias");
    if (rooms.aliases.has(alias)) {
      throw new ApiError(409, "M_UNKNOWN", `Room alias ${alias} already exists`);
    }
    rooms.aliases.set(alias, { roomId: rooms.get(roomId).roomId, creator: userId });
    return ok();
  };
  const remove = (call: Call): Reply => {
    const { userId } = call.requester();
    const alias = call.param("alias");
    if (rooms.aliases.get(alias)?.creator !== userId) {
      throw forbidden("You don't have permission to delete the alias.");
    }
    rooms.aliases.delete(alias);
    return ok();
  };
  const ofRoom = (call: Call): Reply => {
    const { userId } = call.requester();
    const room = rooms.requireReadable(call.param("roomId"), userId);
    const own = [...rooms.aliases].filter(([, alias]) => alias.roomId === room.roomId);
    return ok({ aliases: own.map(([alias]) => alias) });
  };
  const publicRooms = (): Reply => {
    const chunk = [...rooms.published].map((roomId) => {
      const room = rooms.get(roomId);
      const name = room.state("m.room.name")?.content["name"];
      return {
        room_id: roomId,
        num_joined_members: room.members("join").length,
        world_readable: false,
        guest_can_join: false,
        ...(name === undefined ? {} : { name }),
      };
    });
    return ok({ chunk, total_room_count_estimate: chunk.length });
  };
  const old = ["api/v1"];
  return [
    ...client("GET", "directory/room/{alias}", get, old),
    ...client("PUT", "directory/room/{alias}", put, old),
    ...client("DELETE", "directory/room/{alias}", remove, old),
    ...client("GET", "rooms/{roomId}/aliases", ofRoom),
    ...client("GET", "publicRooms", publicRooms, old),
    ...client("POST", "publicRooms", publicRooms, old),
  ];
}
