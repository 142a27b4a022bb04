import type { Call } from "../call.ts";
import { ApiError, badJson, missingParam, unknownError } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { canonicalJson, isObject, objectOr, stringOr, stringsOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { Device } from "../store/device.ts";
import { algorithmOf } from "../store/device.ts";
import { decodeToken } from "../stream-token.ts";
import type { ApiContext } from "./context.ts";
import { crossSigningKey, deviceKeys } from "./key-answers.ts";

/** Device keys: upload, query, claim, changes. */
export function keysRoutes(context: ApiContext): Route[] {
  const { accounts, deviceLists } = context.store;

  const upload = (call: Call): Reply => {
    const { userId, device } = call.requester();
    const body = call.json();
    if (device === null) {
      throw unknownError("To upload keys, you must pass device_id when authenticating");
    }
    if ("device_keys" in body) {
      if (uploadDeviceKeys(device, body["device_keys"])) deviceLists.changed(userId);
    }
    uploadOneTimeKeys(device, objectOr(body["one_time_keys"]));
    for (const [id, key] of Object.entries(objectOr(body["fallback_keys"]))) {
      requireKeyId("fallback_keys", id);
      const keyId = id.slice(id.indexOf(":") + 1);
      const before = device.fallbackKeys.get(algorithmOf(id));
      const isSame = before !== undefined && canonicalJson(before.key) === canonicalJson(key);
      // a key that is uploaded again stays used
      const used = isSame && before.used;
      device.fallbackKeys.set(algorithmOf(id), { keyId, key, used });
    }
    return ok({ one_time_key_counts: device.oneTimeKeyCounts() });
  };

  const query = (call: Call): Reply => {
    const { userId } = call.requester();
    const wanted = call.json()["device_keys"];
    if (!isObject(wanted)) throw badJson("'device_keys' must be a JSON object");
    const answers: Record<"device_keys" | CrossSigningMember, [string, unknown][]> = {
      device_keys: [],
      master_keys: [],
      self_signing_keys: [],
      user_signing_keys: [],
    };
    for (const [target, ids] of Object.entries(wanted)) {
      const deviceIds = stringsOr(ids);
      if (deviceIds === null) throw badJson("'device_keys' values must be a list of strings");
      const user = accounts.users.get(target);
      if (user === undefined) {
        if (target.endsWith(`:${context.settings.serverName}`)) {
          answers.device_keys.push([target, {}]);
        }
        continue;
      }
      answers.device_keys.push([target, deviceKeys(user, deviceIds)]);
      for (const [usage, member] of CROSS_SIGNING) {
        if (usage === "user_signing" && target !== userId) continue;
        const key = crossSigningKey(user, usage, userId);
        if (key !== null) answers[member].push([target, key]);
      }
    }
    const failures = failuresFor(context, Object.keys(wanted));
    const members = Object.entries(answers).map(
      ([name, entries]) => [name, Object.fromEntries(entries)] as const,
    );
    return ok({ ...Object.fromEntries(members), failures });
  };

  const claim = (call: Call): Reply => {
    call.requester();
    const wanted = call.json()["one_time_keys"];
    if (!isObject(wanted)) throw badJson("'one_time_keys' must be a JSON object");
    const users: [string, unknown][] = [];
    for (const [userId, devices] of Object.entries(wanted)) {
      const claimed: [string, unknown][] = [];
      for (const [deviceId, algorithm] of Object.entries(objectOr(devices))) {
        const device = accounts.device(userId, deviceId);
        const key = device?.claim(stringOr(algorithm) ?? "") ?? null;
        if (key !== null) claimed.push([deviceId, Object.fromEntries([key])]);
      }
      if (claimed.length > 0) users.push([userId, Object.fromEntries(claimed)]);
    }
    const failures = failuresFor(context, Object.keys(wanted));
    return ok({ one_time_keys: Object.fromEntries(users), failures });
  };

  const changes = (call: Call): Reply => {
    const { userId } = call.requester();
    const from = call.query.get("from");
    if (from === null) throw missingParam("Missing string query parameter 'from'");
    const { main } = decodeToken(from);
    return ok(deviceLists.update(userId, main, deviceLists.membersSince(userId, main)));
  };

  return [
    ...client("POST", "keys/upload", upload),
    ...client("POST", "keys/query", query),
    ...client("POST", "keys/claim", claim),
    ...client("GET", "keys/changes", changes),
  ];
}

type CrossSigningMember = "master_keys" | "self_signing_keys" | "user_signing_keys";

const CROSS_SIGNING = [
  ["master", "master_keys"],
  ["self_signing", "self_signing_keys"],
  ["user_signing", "user_signing_keys"],
] as const;

function uploadDeviceKeys(device: Device, keys: unknown): boolean {
  if (!isObject(keys)) throw badJson("device_keys must be an object");
  if (keys["user_id"] !== device.userId) {
    throw badJson(
      "Provided `user_id` in `device_keys` does not match that of the authenticated user",
    );
  }
  if (keys["device_id"] !== device.deviceId) {
    throw badJson(
      "Provided `device_id` in `device_keys` does not match that of the authenticated user device",
    );
  }
  if (device.keys !== null && canonicalJson(device.keys) === canonicalJson(keys)) return false;
  device.keys = keys;
  return true;
}

function uploadOneTimeKeys(device: Device, keys: JsonObject): void {
  for (const [id, key] of Object.entries(keys)) {
    requireKeyId("one_time_keys", id);
    const existing = device.oneTimeKeys.get(id);
    if (existing !== undefined && !isSameKey(existing, key)) {
      throw new ApiError(
        400,
        "M_UNKNOWN",
        `One time key ${id} already exists. Old key: ${JSON.stringify(existing)}; new key: ${JSON.stringify(key)}`,
      );
    }
  }
  for (const [id, key] of Object.entries(keys)) {
    if (!device.oneTimeKeys.has(id)) device.oneTimeKeys.set(id, key);
  }
}

// signatures are not compared: a client may sign the same key again
function isSameKey(a: unknown, b: unknown): boolean {
  if (!isObject(a) || !isObject(b)) return a === b;
  return canonicalJson({ ...a, signatures: null }) === canonicalJson({ ...b, signatures: null });
}

function requireKeyId(member: string, id: string): void {
  if (id.split(":").length !== 2) {
    throw badJson(`Invalid ${member} key '${id}'. Expected "<algorithm>:<device_id>".`);
  }
}

function failuresFor(context: ApiContext, userIds: readonly string[]): JsonObject {
  const own = context.settings.serverName;
  const servers = userIds.map((id) => id.slice(id.indexOf(":") + 1)).filter((name) => name !== own);
  return Object.fromEntries(
    servers.map((name) => [name, { status: 503, message: "Not ready for retry" }]),
  );
}
