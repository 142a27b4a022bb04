import type { Call } from "../call.ts";
import { ApiError, notFound } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { objectOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";

interface Backup {
  readonly version: string;
  readonly algorithm: unknown;
  authData: unknown;
  etag: number;
  /** Room to session to key data. */
  readonly rooms: Map<string, Map<string, unknown>>;
}

/** Key backup, as far as clients need it: versions, and keys put and read as they are. */
export function roomKeysRoutes(): Route[] {
  const backups = new Map<string, Backup[]>();
  let versions = 0;

  const ofUser = (userId: string): Backup[] => {
    const list = backups.get(userId) ?? [];
    backups.set(userId, list);
    return list;
  };
  const current = (call: Call): Backup => {
    const { userId } = call.requester();
    const wanted = call.params["version"] ?? call.query.get("version");
    const list = ofUser(userId);
    const backup = wanted === null ? list.at(-1) : list.find((one) => one.version === wanted);
    if (backup === undefined) throw notFound("No backup found");
    return backup;
  };
  const count = (backup: Backup): JsonObject => ({
    count: [...backup.rooms.values()].reduce((sum, sessions) => sum + sessions.size, 0),
    etag: String(backup.etag),
  });
  const create = (call: Call): Reply => {
    const { userId } = call.requester();
    const body = call.json();
    const version = String(++versions);
    const { algorithm, auth_data: authData } = body;
    ofUser(userId).push({ version, algorithm, authData, etag: 0, rooms: new Map() });
    return ok({ version });
  };
  const describe = (call: Call): Reply => {
    const backup = current(call);
    const { version, algorithm, authData } = backup;
    return ok({ version, algorithm, auth_data: authData, ...count(backup) });
  };
  const update = (call: Call): Reply => {
    current(call).authData = call.json()["auth_data"];
    return ok();
  };
  const remove = (call: Call): Reply => {
    const { userId } = call.requester();
    const backup = current(call);
    const left = ofUser(userId).filter((one) => one !== backup);
    backups.set(userId, left);
    return ok();
  };
  const put = (call: Call): Reply => {
    const { userId } = call.requester();
    const backup = current(call);
    if (ofUser(userId).at(-1) !== backup) {
      throw new ApiError(403, "M_WRONG_ROOM_KEYS_VERSION", "Wrong backup version.", {
        current_version: ofUser(userId).at(-1)?.version,
      });
    }
    const { roomId, sessionId } = call.params;
    let body: unknown = call.json();
    if (sessionId !== undefined) body = { sessions: { [sessionId]: body } };
    const rooms = roomId === undefined ? objectOr(body)["rooms"] : { [roomId]: body };
    for (const [room, value] of Object.entries(objectOr(rooms))) {
      const sessions = backup.rooms.get(room) ?? new Map<string, unknown>();
      backup.rooms.set(room, sessions);
      for (const [id, data] of Object.entries(objectOr(objectOr(value)["sessions"]))) {
        sessions.set(id, data);
        backup.etag++;
      }
    }
    return ok(count(backup));
  };
  const get = (call: Call): Reply => {
    const { rooms } = current(call);
    const { roomId, sessionId } = call.params;
    const write = (sessions: ReadonlyMap<string, unknown> | undefined): JsonObject => ({
      sessions: Object.fromEntries(sessions ?? []),
    });
    if (roomId === undefined) {
      return ok({ rooms: Object.fromEntries([...rooms].map(([id, keys]) => [id, write(keys)])) });
    }
    if (sessionId === undefined) return ok(write(rooms.get(roomId)));
    const key = rooms.get(roomId)?.get(sessionId);
    if (key === undefined) throw notFound("No room_keys found");
    return ok(key);
  };
  const keys = ["keys", "keys/{roomId}", "keys/{roomId}/{sessionId}"];
  return [
    ...client("POST", "room_keys/version", create),
    ...client("GET", "room_keys/version", describe),
    ...client("GET", "room_keys/version/{version}", describe),
    ...client("PUT", "room_keys/version/{version}", update),
    ...client("DELETE", "room_keys/version/{version}", remove),
    ...keys.flatMap((path) => [
      ...client("PUT", `room_keys/${path}`, put),
      ...client("GET", `room_keys/${path}`, get),
    ]),
  ];
}
