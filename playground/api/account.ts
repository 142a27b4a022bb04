import type { Call } from "../call.ts";
import { ApiError, badJson, notFound } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { isObject, objectOr, stringOr, stringsOr } from "../json.ts";
import { randomLetters } from "../random.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { Device } from "../store/device.ts";
import type { User } from "../store/user.ts";
import type { ApiContext } from "./context.ts";

/** Who am I, and my devices. */
export function accountRoutes(context: ApiContext): Route[] {
  const { accounts, deviceLists } = context.store;

  const whoami = (call: Call): Reply => {
    const { userId, deviceId } = call.requester();
    const device = deviceId === null ? {} : { device_id: deviceId };
    return ok({ user_id: userId, is_guest: false, ...device });
  };
  const list = (call: Call): Reply => {
    const { user } = call.requester();
    return ok({ devices: [...user.devices.values()].map(describeDevice) });
  };
  const get = (call: Call): Reply => {
    const device = call.requester().user.devices.get(call.param("deviceId"));
    if (device === undefined) throw notFound("Not found");
    return ok(describeDevice(device));
  };
  const put = (call: Call): Reply => {
    const { user, appservice } = call.requester();
    const name = stringOr(call.jsonOrEmpty()["display_name"]);
    const device = user.devices.get(call.param("deviceId"));
    if (device === undefined) {
      // an appservice may make devices for its users (MSC4190)
      if (appservice === null) throw notFound("Not found");
      accounts.ensureDevice(user, call.param("deviceId"), name);
      return { statusCode: 201, body: {} };
    }
    if (name !== null && name !== device.displayName) {
      device.displayName = name;
      deviceLists.changed(user.userId);
    }
    return ok();
  };
  const remove = (call: Call): Reply => {
    const { user, appservice } = call.requester();
    const challenge = appservice === null ? requirePassword(user, call.jsonOrEmpty()) : null;
    if (challenge !== null) return challenge;
    accounts.deleteDevice(user, call.param("deviceId"));
    return ok();
  };
  const removeMany = (call: Call): Reply => {
    const { user, appservice } = call.requester();
    const body = call.json();
    const ids = stringsOr(body["devices"]);
    if (ids === null) throw badJson("'devices' must be a list");
    const challenge = appservice === null ? requirePassword(user, body) : null;
    if (challenge !== null) return challenge;
    for (const id of ids) accounts.deleteDevice(user, id);
    return ok();
  };
  return [
    ...client("GET", "account/whoami", whoami),
    ...client("GET", "devices", list),
    ...client("GET", "devices/{deviceId}", get),
    ...client("PUT", "devices/{deviceId}", put),
    ...client("DELETE", "devices/{deviceId}", remove),
    ...client("POST", "delete_devices", removeMany),
  ];
}

/**
 * User-interactive authentication by password: null if `body.auth` has it, else the 401 to answer with.
 * Throws 403 for a wrong password.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#user-interactive-authentication-api
 */
export function requirePassword(user: User, body: JsonObject): Reply | null {
  const auth = body["auth"];
  const challenge = {
    session: randomLetters(24),
    flows: [{ stages: ["m.login.password"] }],
    params: {},
  };
  if (!isObject(auth) || auth["type"] !== "m.login.password") {
    return { statusCode: 401, body: challenge };
  }
  const name = stringOr(objectOr(auth["identifier"])["user"]) ?? stringOr(auth["user"]) ?? "";
  const isOwn = name === user.userId || `@${name}` === user.userId.slice(0, name.length + 1);
  if (!isOwn || user.passwordOrNull === null || auth["password"] !== user.passwordOrNull) {
    throw new ApiError(401, "M_FORBIDDEN", "Invalid username or password", challenge);
  }
  return null;
}

function describeDevice(device: Device): JsonObject {
  return {
    device_id: device.deviceId,
    display_name: device.displayName,
    last_seen_ip: "127.0.0.1",
    last_seen_ts: device.lastSeenTs,
    user_id: device.userId,
  };
}
