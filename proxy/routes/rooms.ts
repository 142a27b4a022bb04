import { MatrixError } from "../matrix/errors.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { asArray, asObject, asString, isObject, parseObject } from "../matrix/json.ts";
import { withoutCursors } from "../matrix/request-target.ts";
import { readEncryptionState, withoutEncryptionState } from "../matrix/room-events.ts";
import type { EncryptionPins } from "../rooms/encryption-pins.ts";
import type { Call, Handlers, Reply } from "./call.ts";

const maxStateBytes = 256 * 1024 * 1024;

/**
 * Requests that show or make a room's encryption: the room is pinned before the client hears of it,
 * so that a send right afterwards finds it encrypted.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#mroomencryption
 */
/** @param hide - whether clients are not to see that a room is encrypted */
export function roomRoutes(pins: EncryptionPins, hide: boolean): Handlers {
  return {
    createRoom: async (call): Promise<Reply> => {
      const request = parseObject((await call.body()).toString("utf8"));
      const response = await call.forward();
      const roomId = asString(parseObject(response.body.toString("utf8"))?.["room_id"]);
      if (response.statusCode !== 200 || roomId === null) return response;
      for (const event of asArray(request?.["initial_state"]).filter(isObject)) {
        const content = readEncryptionState({ state_key: "", ...event });
        if (content !== null) pins.pin(roomId as RoomId, content);
      }
      return response;
    },

    state: async (call): Promise<Reply | "pass"> => {
      const isEncryption =
        call.params["eventType"] === "m.room.encryption" && (call.params["stateKey"] ?? "") === "";
      if (!isEncryption) return "pass";
      const roomId = (call.params["roomId"] ?? "") as RoomId;
      const content = call.method === "PUT" ? await call.body() : null;
      const response = await call.forward();
      if (response.statusCode !== 200) return response;
      const body = parseObject((content ?? response.body).toString("utf8"));
      // With `?format=event` the content is one level down.
      pins.pin(roomId, asObject(body?.["content"]) ?? body);
      if (hide && call.method === "GET") throw new MatrixError(404, "M_NOT_FOUND", "no such state");
      return response;
    },

    roomState: async (call): Promise<Reply> => {
      const response = await call.forward({ maxBytes: maxStateBytes });
      if (response.statusCode !== 200) return response;
      const events = parseArray(response.body.toString("utf8"));
      for (const event of events.filter(isObject)) {
        const content = readEncryptionState(event);
        if (content !== null) pins.pin((call.params["roomId"] ?? "") as RoomId, content);
      }
      if (!hide) return response;
      const shown = withoutEncryptionState(events);
      return { ...response, body: JSON.stringify(shown) };
    },

    members: forwardWithoutCursors,
    keysChanges: forwardWithoutCursors,
  };
}

function parseArray(text: string): unknown[] {
  let parsed: unknown = null;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Told below: what is no JSON is no list either.
  }
  if (Array.isArray(parsed)) return parsed;
  throw new MatrixError(502, "M_UNKNOWN", "the homeserver sent no list of events");
}

/** Clients present positions of a sync here too; the homeserver gets its own part of them. */
async function forwardWithoutCursors(call: Call): Promise<Reply | "pass"> {
  const path = withoutCursors(call.rawPath);
  return path === call.rawPath ? "pass" : call.forward({ path });
}
