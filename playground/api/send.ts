import type { Call } from "../call.ts";
import { stringOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { ApiContext } from "./context.ts";
import type { Transactions } from "./transactions.ts";

/** Message events and redactions. */
export function sendRoutes(context: ApiContext, transactions: Transactions): Route[] {
  const { rooms } = context.store;

  const send = (call: Call): Reply => {
    const requester = call.requester();
    const content = call.json();
    const type = call.param("type");
    const room = rooms.requireJoined(call.param("roomId"), requester.userId);
    const txnId = call.params["txnId"];
    const redacts = type === "m.room.redaction" ? stringOr(content["redacts"]) : null;
    const event = rooms.send(room, {
      type,
      sender: requester.userId,
      content,
      ...(redacts === null ? {} : { redacts }),
      ...(requester.appservice !== null && call.query.has("ts")
        ? { originServerTs: call.integer("ts", 0) }
        : {}),
      origin: txnId === undefined ? null : { deviceId: requester.deviceId, txnId },
    });
    return ok({ event_id: event.eventId });
  };
  const redact = (call: Call): Reply => {
    const requester = call.requester();
    const body = call.jsonOrEmpty();
    const room = rooms.requireJoined(call.param("roomId"), requester.userId);
    const target = call.param("eventId");
    const txnId = call.params["txnId"];
    const event = rooms.send(room, {
      type: "m.room.redaction",
      sender: requester.userId,
      content: { ...body, redacts: target },
      redacts: target,
      origin: txnId === undefined ? null : { deviceId: requester.deviceId, txnId },
    });
    return ok({ event_id: event.eventId });
  };
  const once =
    (handle: (call: Call) => Reply) =>
    (call: Call): Promise<Reply> =>
      transactions.once(call, call.requester(), () => handle(call));
  return [
    ...client("PUT", "rooms/{roomId}/send/{type}/{txnId}", once(send), ["api/v1"]),
    ...client("POST", "rooms/{roomId}/send/{type}", send, ["api/v1"]),
    ...client("PUT", "rooms/{roomId}/redact/{eventId}/{txnId}", once(redact), ["api/v1"]),
    ...client("POST", "rooms/{roomId}/redact/{eventId}", redact, ["api/v1"]),
  ];
}
