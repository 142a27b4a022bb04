import type { Call } from "../call.ts";
import { ApiError, badJson } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { isObject, objectOr, stringOr, stringsOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { Room } from "../store/room.ts";
import type { ApiContext } from "./context.ts";
import { memberContent } from "./member-content.ts";

const PRESETS: Readonly<Record<string, { readonly joinRule: string; readonly guests: boolean }>> = {
  private_chat: { joinRule: "invite", guests: true },
  trusted_private_chat: { joinRule: "invite", guests: true },
  public_chat: { joinRule: "public", guests: false },
};

/** POST /createRoom. */
export function createRoomRoutes(context: ApiContext): Route[] {
  const create = (call: Call): Reply => {
    const { user, userId } = call.requester();
    const body = call.jsonOrEmpty();
    const alias = readAlias(context, body);
    const room = createRoom(context, userId, memberContent(user), body, alias);
    return ok({ room_id: room.roomId });
  };
  return client("POST", "createRoom", create, ["api/v1"]);
}

function createRoom(
  context: ApiContext,
  sender: string,
  profile: JsonObject,
  body: JsonObject,
  alias: string | null,
): Room {
  const { rooms } = context.store;
  const visibility = stringOr(body["visibility"]) ?? "private";
  const presetName =
    stringOr(body["preset"]) ?? (visibility === "public" ? "public_chat" : "private_chat");
  const preset = PRESETS[presetName];
  if (preset === undefined) throw badJson(`'${presetName}' is not a valid preset`);
  const invited = stringsOr(body["invite"]) ?? [];
  for (const id of invited) requireUserId(id);
  const version = stringOr(body["room_version"]) ?? "10";
  const room = rooms.create(version);
  const send = (type: string, content: JsonObject, stateKey = ""): void => {
    rooms.send(room, { type, sender, content, stateKey });
  };
  const creator = Number(version) >= 11 ? {} : { creator: sender };
  send("m.room.create", {
    room_version: version,
    ...creator,
    ...objectOr(body["creation_content"]),
  });
  send("m.room.member", { ...profile, membership: "join" }, sender);
  const initial = initialState(body);
  send("m.room.power_levels", powerLevels(sender, presetName, invited, body));
  if (alias !== null) {
    rooms.aliases.set(alias, { roomId: room.roomId, creator: sender });
    send("m.room.canonical_alias", { alias });
  }
  const has = (type: string): boolean => initial.some((event) => event.type === type);
  if (!has("m.room.join_rules")) send("m.room.join_rules", { join_rule: preset.joinRule });
  if (!has("m.room.history_visibility")) {
    send("m.room.history_visibility", { history_visibility: "shared" });
  }
  if (preset.guests && !has("m.room.guest_access")) {
    send("m.room.guest_access", { guest_access: "can_join" });
  }
  for (const { type, stateKey, content } of initial) send(type, content, stateKey);
  const name = stringOr(body["name"]);
  if (name !== null) send("m.room.name", { name });
  const topic = stringOr(body["topic"]);
  if (topic !== null) send("m.room.topic", { topic, "m.topic": { "m.text": [{ body: topic }] } });
  const direct = body["is_direct"] === true ? { is_direct: true } : {};
  for (const id of invited) {
    const target = context.store.accounts.users.get(id);
    const content = { ...(target ? memberContent(target) : {}), ...direct, membership: "invite" };
    send("m.room.member", content, id);
  }
  if (visibility === "public") rooms.published.add(room.roomId);
  return room;
}

/** Throws 400 M_UNKNOWN unless `id` is a user id. */
export function requireUserId(id: string): void {
  if (!/^@[^:]*:.+$/.test(id)) {
    throw new ApiError(400, "M_UNKNOWN", `Invalid user_id: ${id}`);
  }
}

function readAlias(context: ApiContext, body: JsonObject): string | null {
  const localpart = stringOr(body["room_alias_name"]);
  if (localpart === null) return null;
  if (localpart.includes(":")) {
    throw new ApiError(
      400,
      "M_INVALID_PARAM",
      "':' is not permitted in the room alias name. Please note this expects a local part",
    );
  }
  const alias = `#${localpart}:${context.settings.serverName}`;
  if (context.store.rooms.aliases.has(alias)) {
    throw new ApiError(400, "M_ROOM_IN_USE", "Room alias already taken");
  }
  return alias;
}

interface InitialEvent {
  readonly type: string;
  readonly stateKey: string;
  readonly content: JsonObject;
}

function initialState(body: JsonObject): InitialEvent[] {
  const list: unknown = body["initial_state"] ?? [];
  if (!Array.isArray(list)) throw badJson("initial_state must be a list");
  return list.map((entry: unknown) => {
    const type = isObject(entry) ? stringOr(entry["type"]) : null;
    if (!isObject(entry) || type === null) throw badJson("initial_state events need a type");
    return {
      type,
      stateKey: stringOr(entry["state_key"]) ?? "",
      content: objectOr(entry["content"]),
    };
  });
}

function powerLevels(
  creator: string,
  preset: string,
  invited: readonly string[],
  body: JsonObject,
): JsonObject {
  const trusted = preset === "trusted_private_chat" ? invited : [];
  return {
    users: Object.fromEntries([creator, ...trusted].map((id) => [id, 100])),
    users_default: 0,
    events: {
      "m.room.name": 50,
      "m.room.power_levels": 100,
      "m.room.history_visibility": 100,
      "m.room.canonical_alias": 50,
      "m.room.avatar": 50,
      "m.room.tombstone": 100,
      "m.room.server_acl": 100,
      "m.room.encryption": 100,
    },
    events_default: 0,
    state_default: 50,
    ban: 50,
    kick: 50,
    redact: 50,
    invite: preset === "public_chat" ? 50 : 0,
    historical: 100,
    ...objectOr(body["power_level_content_override"]),
  };
}
