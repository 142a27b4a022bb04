import { MatrixError } from "../matrix/errors.ts";

/** The device's keys at the homeserver are not ours: nothing may be encrypted for it. */
export class ForeignDevice extends MatrixError {
  override readonly name = "ForeignDevice";
  constructor(userId: string, deviceId: string) {
    super(
      403,
      "M_FORBIDDEN",
      `device ${deviceId} of ${userId} has encryption keys of another owner: log the client in ` +
        "anew through the proxy to get a fresh device, or put back the store that made these keys",
    );
  }
}

/** The device's store is older than the last one used: its ratchets may not be used again. */
export class RolledBackStore extends MatrixError {
  override readonly name = "RolledBackStore";
  constructor(userId: string, deviceId: string) {
    super(
      403,
      "M_FORBIDDEN",
      `the key store of device ${deviceId} of ${userId} is older than the one last used: put the ` +
        "newest copy of the data directory back, or log the client in anew to get a fresh device",
    );
  }
}

/** The room uses an algorithm that the engine does not know: sending fails closed. */
export class UnsupportedAlgorithm extends MatrixError {
  override readonly name = "UnsupportedAlgorithm";
  constructor(roomId: string, algorithm: string) {
    super(
      403,
      "M_FORBIDDEN",
      `room ${roomId} is encrypted with ${JSON.stringify(algorithm.slice(0, 64))}, expected ` +
        "m.megolm.v1.aes-sha2: nothing can be sent to it",
    );
  }
}

/** The trust policy excludes devices in the room, so nothing was sent. */
export class UntrustedDevices extends MatrixError {
  override readonly name = "UntrustedDevices";
  constructor(roomId: string, devices: readonly string[]) {
    const shown = devices.slice(0, 20).join(", ");
    const more = devices.length > 20 ? ` and ${devices.length - 20} more` : "";
    super(
      403,
      "M_FORBIDDEN",
      `not sent: room ${roomId} has devices that are not verified: ${shown}${more}; verify them, ` +
        "or set Trust or IgnoreVerification in the configuration",
      { fields: { "kirjava.untrusted_devices": devices } },
    );
  }
}

/** The homeserver refused one of our own requests. */
export class OwnRequestRefused extends MatrixError {
  override readonly name = "OwnRequestRefused";
  readonly upstreamStatus: number;
  /** Empty where the answer was no Matrix error: something else than the homeserver spoke. */
  readonly upstreamErrcode: string;
  constructor(what: string, upstreamStatus: number, errcode: string) {
    super(502, "M_UNKNOWN", `the homeserver refused ${what}: ${upstreamStatus} ${errcode}`);
    this.upstreamStatus = upstreamStatus;
    this.upstreamErrcode = errcode;
  }
}

/** The access token of the device is no longer valid: the homeserver said so. */
export class TokenRejected extends MatrixError {
  override readonly name = "TokenRejected";
  constructor(softLogout: boolean) {
    super(401, "M_UNKNOWN_TOKEN", "the homeserver no longer knows this access token", {
      fields: softLogout ? { soft_logout: true } : {},
    });
  }
}
