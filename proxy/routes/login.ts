import type { Accounts } from "../accounts/accounts.ts";
import type { UpstreamResponse } from "../homeserver/homeserver.ts";
import { MatrixError } from "../matrix/errors.ts";
import type { DeviceId, UserId } from "../matrix/identifiers.ts";
import type { JsonObject } from "../matrix/json.ts";
import { asObject, asString } from "../matrix/json.ts";
import type { Call, Handlers, Reply } from "./call.ts";
import { okObject, publicUrl, withBody } from "./replies.ts";

export interface LoginDeps {
  readonly accounts: Pick<Accounts, "learn" | "identify">;
  /** Where clients reach this proxy; null: by the Host that they asked for. */
  readonly publicUrl: URL | null;
}

/**
 * Every flow that ends in an access token: login (password, token, application service and whatever else a homeserver offers) and
 * registration. The answer is taken note of and passes; one that names no device, such as a round of user-interactive
 * authentication or a registration with `inhibit_login`, only passes. Single sign-on ends in `m.login.token`; its redirects stream.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#login
 */
export function loginRoutes(deps: LoginDeps): Handlers {
  const login = async (call: Call): Promise<Reply> => {
    const response = await call.forward();
    const answer = okObject(response);
    if (answer === null) return response;
    const token = asString(answer["access_token"]);
    const userId = asString(answer["user_id"]);
    const deviceId = asString(answer["device_id"]);
    if (token !== null && userId !== null && deviceId !== null) {
      deps.accounts.learn({ token, userId: userId as UserId, deviceId: deviceId as DeviceId });
    }
    return pointToProxy(response, answer, publicUrl(call, deps.publicUrl));
  };
  return { login, register: login, refresh: (call) => refresh(call, deps.accounts) };
}

/** A refreshed token comes without its owner; the homeserver knows. Where it cannot say now, the token's first use asks again. */
async function refresh(call: Call, accounts: LoginDeps["accounts"]): Promise<Reply> {
  const response = await call.forward();
  const token = asString(okObject(response)?.["access_token"]);
  if (token === null) return response;
  try {
    await accounts.identify(token);
  } catch (error) {
    // The client must get its new token in any case: the old one is used up.
    if (!(error instanceof MatrixError)) throw error;
  }
  return response;
}

/** A client follows `well_known` of a login's answer, which would lead it past the proxy. */
function pointToProxy(response: UpstreamResponse, answer: JsonObject, url: string): Reply {
  const wellKnown = asObject(answer["well_known"]);
  return wellKnown === null
    ? response
    : withBody(response, { ...answer, well_known: proxied(wellKnown, url) });
}

/**
 * Client discovery information with the proxy for a homeserver; the sliding sync proxy, a way around this one, is left out.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#getwell-knownmatrixclient
 */
export function proxied(wellKnown: JsonObject, url: string): JsonObject {
  const result: JsonObject = {
    ...wellKnown,
    "m.homeserver": { ...asObject(wellKnown["m.homeserver"]), base_url: url },
  };
  delete result["org.matrix.msc3575.proxy"];
  return result;
}
