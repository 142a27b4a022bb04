import type { Accounts } from "../accounts/accounts.ts";
import type { Identity } from "../accounts/account.ts";
import { MatrixError } from "../matrix/errors.ts";
import type { DeviceId } from "../matrix/identifiers.ts";
import { asStrings, parseObject } from "../matrix/json.ts";
import type { Call, Handler, Handlers, Reply } from "./call.ts";

/** What these routes ask of the accounts; whoever has a device open hears of its end through `Accounts.onChange`. */
export type LogoutAccounts = Pick<
  Accounts,
  "identify" | "forgetToken" | "forgetDevice" | "forgetUser" | "devices"
>;

/**
 * Every way in which a device comes to its end by a request of its user: once the homeserver has agreed, its tokens and its keys are
 * not used again.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3logout
 */
export function logoutRoutes(accounts: LogoutAccounts): Handlers {
  /** Forwards, and lets `end` draw the conclusion from a 200. */
  const ending =
    (end: (who: Identity, call: Call) => void | Promise<void>): Handler =>
    async (call): Promise<Reply> => {
      // Asked first: afterwards nobody can say any more whose token it was.
      const who = await whose(call, accounts);
      const response = await call.forward();
      if (who !== null && response.statusCode === 200) await end(who, call);
      return response;
    };

  return {
    logout: ending((who) => {
      if (who.deviceId === null) accounts.forgetToken(who.token);
      else accounts.forgetDevice({ userId: who.userId, deviceId: who.deviceId });
    }),
    logoutAll: ending((who) => accounts.forgetUser(who.userId)),
    deactivate: ending((who) => accounts.forgetUser(who.userId)),
    device: (call) => {
      if (call.method !== "DELETE") return Promise.resolve("pass");
      return ending((who) => forget(accounts, who, [call.params["deviceId"] ?? ""]))(call);
    },
    deleteDevices: ending(async (who, call) => {
      forget(accounts, who, asStrings(await bodyMember(call, "devices")));
    }),
    password: ending(async (who, call) => {
      // The default logs every other device out.
      if ((await bodyMember(call, "logout_devices")) === false) return;
      const ofUser = accounts.devices().filter((device) => device.userId === who.userId);
      const others = ofUser.map(({ deviceId }) => deviceId).filter((id) => id !== who.deviceId);
      forget(accounts, who, others);
    }),
  };
}

/** Null where the homeserver has to say it: no token, a wrong one, or no answer. */
async function whose(call: Call, accounts: LogoutAccounts): Promise<Identity | null> {
  if (call.token === null) return null;
  try {
    return await accounts.identify(call.token, call.masquerade);
  } catch (error) {
    if (error instanceof MatrixError) return null;
    throw error;
  }
}

function forget(
  accounts: LogoutAccounts,
  { userId }: Identity,
  deviceIds: readonly string[],
): void {
  for (const deviceId of deviceIds)
    accounts.forgetDevice({ userId, deviceId: deviceId as DeviceId });
}

async function bodyMember(call: Call, name: string): Promise<unknown> {
  return parseObject((await call.body()).toString("utf8"))?.[name];
}
