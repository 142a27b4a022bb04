import type { Call } from "../call.ts";
import { ApiError, badJson, forbidden, invalidParam, missingParam } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { objectOr, stringOr } from "../json.ts";
import { randomLetters } from "../random.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { User } from "../store/user.ts";
import type { ApiContext } from "./context.ts";

/** Login, refresh, login tokens and logout. */
export function loginRoutes(context: ApiContext): Route[] {
  const { accounts } = context.store;
  const loginTokens = new Map<string, string>();

  const login = (call: Call): Reply => {
    const body = call.json();
    const user = identifyUser(context, loginTokens, call, body);
    return ok(startSession(context, user, body));
  };
  const refresh = (call: Call): Reply => {
    const token = stringOr(call.json()["refresh_token"]);
    if (token === null) throw missingParam("missing refresh_token");
    const issued = accounts.refresh(token, context.settings.accessTokenLifetimeMs);
    return ok({
      access_token: issued.token,
      refresh_token: issued.refreshToken,
      expires_in_ms: context.settings.accessTokenLifetimeMs,
    });
  };
  const getToken = (call: Call): Reply => {
    const { userId } = call.requester();
    const loginToken = randomLetters(24);
    loginTokens.set(loginToken, userId);
    return ok({ login_token: loginToken, expires_in_ms: 120_000 });
  };
  const flows = (): Reply =>
    ok({
      flows: [
        { type: "m.login.password" },
        { type: "m.login.token", get_login_token: true },
        { type: "m.login.application_service" },
      ],
    });
  const logout = (call: Call): Reply => {
    const { user, deviceId, appservice } = call.requester();
    if (deviceId === null || appservice !== null) return ok();
    accounts.deleteDevice(user, deviceId);
    return ok();
  };
  const logoutAll = (call: Call): Reply => {
    const { user } = call.requester();
    for (const deviceId of [...user.devices.keys()]) accounts.deleteDevice(user, deviceId);
    return ok();
  };
  return [
    ...client("GET", "login", flows, ["api/v1"]),
    ...client("POST", "login", login, ["api/v1"]),
    ...client("POST", "refresh", refresh, ["v1"]),
    ...client("POST", "login/get_token", getToken, ["v1"]),
    ...client("POST", "logout", logout, ["api/v1"]),
    ...client("POST", "logout/all", logoutAll, ["api/v1"]),
  ];
}

/** A session as login and register answer it. */
export function startSession(context: ApiContext, user: User, body: JsonObject): JsonObject {
  const { accounts } = context.store;
  const device = accounts.ensureDevice(
    user,
    stringOr(body["device_id"]),
    stringOr(body["initial_device_display_name"]),
  );
  const isRefreshable = body["refresh_token"] === true;
  const lifetimeMs = context.settings.accessTokenLifetimeMs;
  const token = accounts.login(user, device, {
    refreshable: isRefreshable,
    ...(isRefreshable ? { lifetimeMs } : {}),
  });
  return {
    user_id: user.userId,
    access_token: token.token,
    home_server: context.settings.serverName,
    device_id: device.deviceId,
    ...(isRefreshable ? { refresh_token: token.refreshToken, expires_in_ms: lifetimeMs } : {}),
    well_known: { "m.homeserver": { base_url: `${context.url}/` } },
  };
}

function identifyUser(
  context: ApiContext,
  loginTokens: Map<string, string>,
  call: Call,
  body: JsonObject,
): User {
  const { accounts, appservices } = context.store;
  const type = body["type"];
  if (type === "m.login.token") {
    const token = stringOr(body["token"]);
    if (token === null) throw missingParam("Missing params: token");
    const userId = loginTokens.get(token);
    if (userId === undefined) throw forbidden("Invalid login token");
    loginTokens.delete(token);
    return accounts.user(userId);
  }
  if (type !== "m.login.password" && type !== "m.login.application_service") {
    throw invalidParam("Invalid login submission");
  }
  const name = stringOr(objectOr(body["identifier"])["user"]) ?? stringOr(body["user"]);
  if (name === null) throw badJson("Invalid login submission");
  const user = accounts.users.get(accounts.userIdFor(name));
  if (type === "m.login.application_service") {
    const appservice = appservices.byToken(call.token());
    if (appservice === null) {
      throw forbidden("This login method is only valid for application services");
    }
    if (appservice.registration["io.element.msc4190"] === true) {
      throw new ApiError(
        400,
        "M_APPSERVICE_LOGIN_UNSUPPORTED",
        "This appservice has MSC4190 enabled, so appservice login cannot be used.",
      );
    }
    if (!appservice.ownsUser(accounts.userIdFor(name))) {
      throw forbidden("Invalid access_token");
    }
    if (user === undefined) throw forbidden("User not registered");
    return user;
  }
  const password = stringOr(body["password"]);
  if (user?.passwordOrNull == null || user.passwordOrNull !== password) {
    throw forbidden("Invalid username or password");
  }
  return user;
}
