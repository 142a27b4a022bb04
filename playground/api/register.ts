import { createHmac, randomBytes } from "node:crypto";
import type { Call } from "../call.ts";
import { ApiError, badJson, forbidden, missingParam } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { isObject, stringOr } from "../json.ts";
import { randomLetters } from "../random.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { Appservice } from "../store/appservices.ts";
import type { ApiContext } from "./context.ts";
import { startSession } from "./login.ts";

/** Registration: by dummy authentication, by an appservice, by shared secret. */
export function registerRoutes(context: ApiContext): Route[] {
  const { accounts, appservices } = context.store;
  const nonces = new Set<string>();

  const register = (call: Call): Reply => {
    const body = call.jsonOrEmpty();
    const kind = call.query.get("kind") ?? "user";
    if (kind !== "user") throw forbidden("Guest access is disabled");
    const appservice = body["type"] === "m.login.application_service";
    if (appservice) {
      const registered = appservices.byToken(call.token());
      if (registered === null) throw forbidden("Invalid appservice token");
      return ok(registerByAppservice(context, registered, body));
    }
    const username = stringOr(body["username"]) ?? randomLetters(10).toLowerCase();
    if (accounts.users.has(accounts.userIdFor(username))) {
      throw new ApiError(400, "M_USER_IN_USE", "User ID already taken.");
    }
    const auth = body["auth"];
    if (!isObject(auth) || auth["type"] !== "m.login.dummy") {
      const flows = [{ stages: ["m.login.dummy"] }];
      return { statusCode: 401, body: { session: randomLetters(24), flows, params: {} } };
    }
    const password = stringOr(body["password"]);
    if (password === null) throw missingParam("Invalid password");
    const user = accounts.createUser({ localpart: username, password });
    if (body["inhibit_login"] === true) {
      return ok({ user_id: user.userId, home_server: context.settings.serverName });
    }
    return ok(startSession(context, user, body));
  };
  const available = (call: Call): Reply => {
    const username = call.query.get("username") ?? "";
    if (accounts.users.has(accounts.userIdFor(username))) {
      throw new ApiError(400, "M_USER_IN_USE", "User ID already taken.");
    }
    return ok({ available: true });
  };
  const nonce = (): Reply => {
    const value = randomBytes(32).toString("hex");
    nonces.add(value);
    return ok({ nonce: value });
  };
  const bySecret = (call: Call): Reply => {
    const body = call.json();
    const given = stringOr(body["nonce"]) ?? "";
    if (!nonces.delete(given)) throw new ApiError(400, "M_UNKNOWN", "unrecognised nonce");
    const username = stringOr(body["username"]);
    const password = stringOr(body["password"]);
    if (username === null || password === null) {
      throw badJson("username and password must be specified");
    }
    const isAdmin = body["admin"] === true;
    const hmac = createHmac("sha1", context.settings.registrationSharedSecret);
    hmac.update([given, username, password, isAdmin ? "admin" : "notadmin"].join("\0"));
    if (hmac.digest("hex") !== body["mac"]) throw forbidden("HMAC incorrect");
    const user = accounts.createUser({ localpart: username.toLowerCase(), password, isAdmin });
    return ok(startSession(context, user, body));
  };
  return [
    ...client("POST", "register", register, ["api/v1"]),
    ...client("GET", "register/available", available),
    { method: "GET", path: "/_synapse/admin/v1/register", handler: nonce },
    { method: "POST", path: "/_synapse/admin/v1/register", handler: bySecret },
  ];
}

function registerByAppservice(
  context: ApiContext,
  appservice: Appservice,
  body: JsonObject,
): JsonObject {
  const { accounts } = context.store;
  const username = stringOr(body["username"]) ?? stringOr(body["user"]);
  if (username === null) throw missingParam("Missing username");
  const userId = accounts.userIdFor(username);
  if (!appservice.ownsUser(userId)) {
    throw new ApiError(400, "M_EXCLUSIVE", "Invalid user localpart for this application service.");
  }
  const isInhibited = body["inhibit_login"] === true;
  if (appservice.registration["io.element.msc4190"] === true && !isInhibited) {
    throw new ApiError(
      400,
      "M_APPSERVICE_LOGIN_UNSUPPORTED",
      "This appservice has MSC4190 enabled, so the inhibit_login parameter must be set to true.",
    );
  }
  const localpart = userId.slice(1, userId.indexOf(":"));
  const appserviceId = appservice.registration.id;
  const user = accounts.createUser({ localpart, password: null, appserviceId });
  if (isInhibited) return { user_id: userId, home_server: context.settings.serverName };
  return startSession(context, user, body);
}
