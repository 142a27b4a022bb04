import { ApiError, unknownError } from "../errors.ts";
import { randomLetters, randomUpper } from "../random.ts";
import { Device } from "./device.ts";
import { User } from "./user.ts";

/** An access token of one device. */
export interface AccessToken {
  readonly token: string;
  readonly userId: string;
  readonly deviceId: string;
  /** Milliseconds since the epoch; null: never. */
  readonly expiresAt: number | null;
  readonly refreshToken: string | null;
}

/** Users, devices and tokens. */
export class Accounts {
  readonly serverName: string;
  readonly users = new Map<string, User>();
  readonly tokens = new Map<string, AccessToken>();
  readonly #refreshTokens = new Map<string, { userId: string; deviceId: string }>();
  /** Called after a device appeared or went. */
  readonly #onDeviceChange: (userId: string) => void;

  constructor(serverName: string, onDeviceChange: (userId: string) => void) {
    this.serverName = serverName;
    this.#onDeviceChange = onDeviceChange;
  }

  /** The user, or 404. */
  user(userId: string): User {
    const user = this.users.get(userId);
    if (user === undefined) throw new ApiError(404, "M_NOT_FOUND", "User not found");
    return user;
  }

  /** `@name:server` for a name or a whole user id. */
  userIdFor(name: string): string {
    return name.startsWith("@") ? name : `@${name}:${this.serverName}`;
  }

  /** Makes a user. Throws 400 M_INVALID_USERNAME or M_USER_IN_USE. */
  createUser(o: {
    readonly localpart: string;
    readonly password: string | null;
    readonly appserviceId?: string;
    readonly isAdmin?: boolean;
  }): User {
    if (!/^[a-z0-9._=\-/+]+$/.test(o.localpart)) {
      throw new ApiError(
        400,
        "M_INVALID_USERNAME",
        "User ID can only contain characters a-z, 0-9, or '=_-./+'",
      );
    }
    const userId = this.userIdFor(o.localpart);
    if (this.users.has(userId)) {
      throw new ApiError(400, "M_USER_IN_USE", "User ID already taken.");
    }
    const user = new User({
      userId,
      password: o.password,
      appserviceId: o.appserviceId ?? null,
      isAdmin: o.isAdmin ?? false,
    });
    this.users.set(userId, user);
    return user;
  }

  /** The device, or null. */
  device(userId: string, deviceId: string): Device | null {
    return this.users.get(userId)?.devices.get(deviceId) ?? null;
  }

  /** Finds or makes a device. */
  ensureDevice(user: User, deviceId: string | null, displayName: string | null): Device {
    const id = deviceId ?? randomUpper(10);
    const existing = user.devices.get(id);
    if (existing !== undefined) return existing;
    if (id.length > 512) throw unknownError("Device id too long");
    const device = new Device(user.userId, id, displayName);
    user.devices.set(id, device);
    this.#onDeviceChange(user.userId);
    return device;
  }

  /** Removes a device with its tokens, keys and inbox. */
  deleteDevice(user: User, deviceId: string): void {
    for (const [token, held] of this.tokens) {
      if (held.userId === user.userId && held.deviceId === deviceId) this.tokens.delete(token);
    }
    for (const [token, held] of this.#refreshTokens) {
      if (held.userId === user.userId && held.deviceId === deviceId) {
        this.#refreshTokens.delete(token);
      }
    }
    if (user.devices.delete(deviceId)) this.#onDeviceChange(user.userId);
  }

  /** A new access token. A login on a device id in use ends that device's older tokens. */
  login(
    user: User,
    device: Device,
    o: { readonly refreshable?: boolean; readonly lifetimeMs?: number } = {},
  ): AccessToken {
    for (const [token, held] of this.tokens) {
      if (held.userId === user.userId && held.deviceId === device.deviceId) {
        this.tokens.delete(token);
      }
    }
    return this.#issue(user.userId, device.deviceId, o.refreshable ?? false, o.lifetimeMs ?? null);
  }

  #issue(
    userId: string,
    deviceId: string,
    refreshable: boolean,
    lifetimeMs: number | null,
  ): AccessToken {
    const name = Buffer.from(userId.slice(1, userId.indexOf(":"))).toString("base64url");
    const refreshToken = refreshable ? `syr_${name}_${randomLetters(20)}` : null;
    const token: AccessToken = {
      token: `syt_${name}_${randomLetters(20)}`,
      userId,
      deviceId,
      expiresAt: lifetimeMs === null ? null : Date.now() + lifetimeMs,
      refreshToken,
    };
    this.tokens.set(token.token, token);
    if (refreshToken !== null) this.#refreshTokens.set(refreshToken, { userId, deviceId });
    return token;
  }

  /** Exchanges a refresh token; the old pair ends. Throws 403 or 401. */
  refresh(refreshToken: string, lifetimeMs: number | null): AccessToken {
    const held = this.#refreshTokens.get(refreshToken);
    if (held === undefined) throw new ApiError(401, "M_UNKNOWN_TOKEN", "invalid refresh token");
    this.#refreshTokens.delete(refreshToken);
    for (const [token, old] of this.tokens) {
      if (old.refreshToken === refreshToken) this.tokens.delete(token);
    }
    return this.#issue(held.userId, held.deviceId, true, lifetimeMs);
  }

  /** Lets an access token run out now: it answers 401 with soft_logout from here on. */
  expireToken(token: string): void {
    const held = this.tokens.get(token);
    if (held !== undefined) this.tokens.set(token, { ...held, expiresAt: 0 });
  }

  /** The token's owner. Throws 401 M_UNKNOWN_TOKEN. */
  authenticate(token: string): AccessToken {
    const held = this.tokens.get(token);
    if (held === undefined) {
      throw new ApiError(401, "M_UNKNOWN_TOKEN", "Invalid access token passed.", {
        soft_logout: false,
      });
    }
    if (held.expiresAt !== null && held.expiresAt <= Date.now()) {
      throw new ApiError(401, "M_UNKNOWN_TOKEN", "Access token has expired", { soft_logout: true });
    }
    return held;
  }
}
