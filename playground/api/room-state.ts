import type { Call } from "../call.ts";
import { forbidden, notFound } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import { membershipOf } from "../store/room.ts";
import type { Room } from "../store/room.ts";
import { readableUpTo } from "../store/visibility.ts";
import { decodeToken } from "../stream-token.ts";
import { clientStateEvent, syncStateEvent } from "../sync/client-event.ts";
import type { ApiContext } from "./context.ts";

/** State events and members. */
export function roomStateRoutes(context: ApiContext): Route[] {
  const { rooms, accounts } = context.store;

  const readable = (
    call: Call,
  ): { readonly room: Room; readonly userId: string; readonly at: number } => {
    const { userId } = call.requester();
    const room = rooms.requireReadable(call.param("roomId"), userId);
    return { room, userId, at: readableUpTo(room, userId) };
  };
  const whole = (call: Call): Reply => {
    const { room, at } = readable(call);
    const { userId, deviceId } = call.requester();
    return ok(room.stateAt(at).map((event) => clientStateEvent(room, event, { userId, deviceId })));
  };
  const one = (call: Call): Reply => {
    const { room, at } = readable(call);
    const { userId, deviceId } = call.requester();
    const event = room.state(call.param("type"), call.param("stateKey"), at);
    if (event === null) throw notFound("Event not found.");
    return ok(
      call.query.get("format") === "event"
        ? { ...syncStateEvent(room, event, { userId, deviceId }), room_id: room.roomId }
        : event.content,
    );
  };
  const put = (call: Call): Reply => {
    const { userId } = call.requester();
    const content = call.json();
    const room = rooms.all.get(call.param("roomId"));
    if (room === undefined) throw forbidden(`User ${userId} not in room ${call.param("roomId")}`);
    const type = call.param("type");
    const stateKey = call.param("stateKey");
    return ok({ event_id: rooms.send(room, { type, sender: userId, content, stateKey }).eventId });
  };
  const members = (call: Call): Reply => {
    const { room, at } = readable(call);
    const { userId, deviceId } = call.requester();
    const atText = call.query.get("at");
    const position = atText === null ? at : Math.min(at, decodeToken(atText).main);
    const wanted = call.query.get("membership");
    const unwanted = call.query.get("not_membership");
    const chunk = room
      .stateAt(position)
      .filter((event) => {
        const membership = membershipOf(event);
        return (
          event.type === "m.room.member" &&
          (wanted === null || membership === wanted) &&
          (unwanted === null || membership !== unwanted)
        );
      })
      .map((event) => clientStateEvent(room, event, { userId, deviceId }));
    return ok({ chunk });
  };
  const joinedMembers = (call: Call): Reply => {
    const { userId, appservice } = call.requester();
    const roomId = call.param("roomId");
    const room = appservice === null ? rooms.requireJoined(roomId, userId) : rooms.get(roomId);
    const joined = room.members("join").map((id): [string, JsonObject] => {
      const user = accounts.users.get(id);
      return [id, { display_name: user?.displayName ?? null, avatar_url: user?.avatarUrl ?? null }];
    });
    return ok({ joined: Object.fromEntries(joined) });
  };
  const old = ["api/v1"];
  return [
    ...client("GET", "rooms/{roomId}/state", whole, old),
    ...["rooms/{roomId}/state/{type}", "rooms/{roomId}/state/{type}/{stateKey}"].flatMap((path) => [
      ...client("GET", path, one, old),
      ...client("PUT", path, put, old),
    ]),
    ...client("GET", "rooms/{roomId}/members", members, old),
    ...client("GET", "rooms/{roomId}/joined_members", joinedMembers, old),
  ];
}
