import type { Accounts } from "../accounts/accounts.ts";
import type { DeviceAddress } from "../matrix/identifiers.ts";
import { MatrixError } from "../matrix/errors.ts";
import { parseObject } from "../matrix/json.ts";
import { isCryptoType } from "../matrix/to-device-types.ts";
import type { SectionSessions } from "../sync/section-sessions.ts";
import { requireToken } from "./call.ts";
import type { Call, Handler, Handlers, Reply } from "./call.ts";

export interface KeysDeps {
  readonly accounts: Accounts;
  readonly sessions: SectionSessions;
}

/**
 * The endpoints of a client's own encryption. A device has one owner of its keys: a client that
 * uploads keys before Kirjava did keeps the device and is passed through; afterwards it cannot.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#end-to-end-encryption
 */
export function keysRoutes(deps: KeysDeps): Handlers {
  const ownersOnly: Handler = async (call): Promise<Reply | "pass"> => {
    const device = await deviceOf(call, deps.accounts);
    if (device === null || deps.sessions.passesThrough(device)) return "pass";
    throw twoOwners(device);
  };
  return {
    keysUpload: async (call): Promise<Reply | "pass"> => {
      const device = await deviceOf(call, deps.accounts);
      refuseForeignUpload(call, device);
      if (device === null || deps.sessions.passesThrough(device)) return "pass";
      if (deps.accounts.files.stateOf(device) === "active") throw twoOwners(device);
      const body = parseObject((await call.body()).toString("utf8"));
      if (body?.["device_keys"] === undefined) return "pass";
      const response = await call.forward();
      if (response.statusCode === 200) deps.accounts.files.setState(device, "self-encrypting");
      return response;
    },
    keysQuery: () => Promise.resolve("pass"),
    keysClaim: ownersOnly,
    deviceSigningUpload: ownersOnly,
    signaturesUpload: ownersOnly,
    roomKeysVersion: ownersOnly,
    roomKeys: ownersOnly,
    dehydratedDevice: ownersOnly,
    sendToDevice: async (call): Promise<Reply | "pass"> => {
      if (!isCryptoType(call.params["eventType"])) return "pass";
      return ownersOnly(call);
    },
  };
}

async function deviceOf(call: Call, accounts: Accounts): Promise<DeviceAddress | null> {
  const { userId, deviceId } = await accounts.identify(requireToken(call), call.masquerade);
  return deviceId === null ? null : { userId, deviceId };
}

/** Synapse stores keys for whatever device the path names, though the token be another device's. */
function refuseForeignUpload(call: Call, device: DeviceAddress | null): void {
  const named = call.params["deviceId"] ?? "";
  if (named === "" || named === device?.deviceId) return;
  throw new MatrixError(
    403,
    "M_FORBIDDEN",
    "expected the access token's own device in the path: keys are not uploaded for another one",
  );
}

function twoOwners({ userId, deviceId }: DeviceAddress): MatrixError {
  return new MatrixError(
    403,
    "M_FORBIDDEN",
    `the proxy holds the encryption keys of device ${deviceId} of ${userId}: switch the client's own ` +
      "encryption off, or let it log in at the homeserver itself",
  );
}
