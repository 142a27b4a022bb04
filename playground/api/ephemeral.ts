import type { Call } from "../call.ts";
import { ApiError, badJson, forbidden, missingParam, unknownError } from "../errors.ts";
import { stringOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { Room } from "../store/room.ts";
import type { User, Versioned } from "../store/user.ts";
import type { JsonObject } from "../json.ts";
import type { ApiContext } from "./context.ts";

const RECEIPTS = ["m.read", "m.read.private"];

/** Typing, receipts, read markers, presence. */
export function ephemeralRoutes(context: ApiContext): Route[] {
  const { rooms, notifier, accounts } = context.store;

  const announce = (room: Room, type: "m.typing" | "m.receipt", userId: string): void => {
    notifier.wake(room.members("join"));
    context.pusher.ephemeral(room, type, userId);
  };
  const typing = (call: Call): Reply => {
    const { userId } = call.requester();
    if (call.param("userId") !== userId) {
      throw new ApiError(400, "M_FORBIDDEN", "Cannot set another user's typing state");
    }
    const room = rooms.requireJoined(call.param("roomId"), userId);
    const isTyping = call.json()["typing"] === true;
    const others = room.typing.value.filter((id) => id !== userId);
    if (isTyping === room.typing.value.includes(userId)) return ok();
    room.typing = { value: isTyping ? [...others, userId] : others, position: notifier.next() };
    announce(room, "m.typing", userId);
    return ok();
  };
  const setReceipt = (
    room: Room,
    userId: string,
    type: string,
    eventId: string,
    threadId: string | null,
  ): void => {
    room.receipts.set(JSON.stringify([type, userId, threadId]), {
      type,
      userId,
      eventId,
      threadId,
      ts: Date.now(),
      position: notifier.next(),
    });
    announce(room, "m.receipt", userId);
  };
  const setFullyRead = (user: User, room: Room, eventId: string): void => {
    const data = user.roomAccountData.get(room.roomId) ?? new Map<string, Versioned<JsonObject>>();
    user.roomAccountData.set(room.roomId, data);
    const value = { event_id: eventId };
    data.set("m.fully_read", { value, position: notifier.next() });
    notifier.wake([user.userId]);
  };
  const receipt = (call: Call): Reply => {
    const { user, userId } = call.requester();
    const type = call.param("type");
    const room = rooms.requireJoined(call.param("roomId"), userId);
    const eventId = call.param("eventId");
    if (type === "m.fully_read") {
      setFullyRead(user, room, eventId);
      return ok();
    }
    if (!RECEIPTS.includes(type)) {
      throw unknownError("Receipt type must be m.fully_read, m.read, m.read.private");
    }
    setReceipt(room, userId, type, eventId, stringOr(call.jsonOrEmpty()["thread_id"]));
    return ok();
  };
  const markers = (call: Call): Reply => {
    const { user, userId } = call.requester();
    const room = rooms.requireJoined(call.param("roomId"), userId);
    const body = call.json();
    const fullyRead = stringOr(body["m.fully_read"]);
    if (fullyRead !== null) setFullyRead(user, room, fullyRead);
    for (const type of RECEIPTS) {
      const eventId = stringOr(body[type]);
      if (eventId !== null) setReceipt(room, userId, type, eventId, null);
    }
    return ok();
  };
  const putPresence = (call: Call): Reply => {
    const { user, userId } = call.requester();
    if (call.param("userId") !== userId) throw forbidden("Can only set your own presence state");
    const presence = stringOr(call.json()["presence"]);
    if (presence === null) throw missingParam("Missing key 'presence'");
    if (!["online", "offline", "unavailable"].includes(presence)) {
      throw badJson("Invalid presence state");
    }
    user.presenceShown.push(presence);
    return ok();
  };
  const getPresence = (call: Call): Reply => {
    call.requester();
    const shown = accounts.user(call.param("userId")).presenceShown;
    return ok({ presence: shown.findLast((value) => value !== "offline") ?? "offline" });
  };
  const old = ["api/v1"];
  return [
    ...client("PUT", "rooms/{roomId}/typing/{userId}", typing, old),
    ...client("POST", "rooms/{roomId}/receipt/{type}/{eventId}", receipt),
    ...client("POST", "rooms/{roomId}/read_markers", markers),
    ...client("PUT", "presence/{userId}/status", putPresence, old),
    ...client("GET", "presence/{userId}/status", getPresence, old),
  ];
}
