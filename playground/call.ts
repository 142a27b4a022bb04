import type { IncomingHttpHeaders } from "node:http";
import { ApiError, badJson } from "./errors.ts";
import type { JsonObject } from "./json.ts";
import { isObject } from "./json.ts";
import type { Appservice } from "./store/appservices.ts";
import type { Store } from "./store/store.ts";
import type { Device } from "./store/device.ts";
import type { User } from "./store/user.ts";

/** Who makes a request. */
export interface Requester {
  readonly user: User;
  readonly userId: string;
  /** Null: an appservice that named no device. */
  readonly deviceId: string | null;
  readonly device: Device | null;
  readonly token: string;
  readonly appservice: Appservice | null;
}

/** One request on its way to its handler. */
export class Call {
  readonly method: string;
  /** Percent-encoded as it came, without the query. */
  readonly rawPath: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly chunks: readonly Buffer[];
  /** Aborted when the client is gone or the server stops. */
  readonly signal: AbortSignal;
  readonly #store: Store;

  constructor(o: {
    readonly method: string;
    readonly rawPath: string;
    readonly params: Readonly<Record<string, string>>;
    readonly query: URLSearchParams;
    readonly headers: IncomingHttpHeaders;
    readonly chunks: readonly Buffer[];
    readonly signal: AbortSignal;
    readonly store: Store;
  }) {
    this.method = o.method;
    this.rawPath = o.rawPath;
    this.params = o.params;
    this.query = o.query;
    this.headers = o.headers;
    this.chunks = o.chunks;
    this.signal = o.signal;
    this.#store = o.store;
  }

  /** A path parameter. */
  param(name: string): string {
    return this.params[name] ?? "";
  }

  /** A whole number of the query. Throws 400 M_INVALID_PARAM. */
  integer(name: string, fallback: number): number {
    const text = this.query.get(name);
    if (text === null) return fallback;
    if (!/^-?\d+$/.test(text)) {
      throw new ApiError(400, "M_INVALID_PARAM", `Query parameter '${name}' must be an integer`);
    }
    return Number(text);
  }

  /** The body as a JSON object. Throws 400 M_NOT_JSON or M_BAD_JSON. */
  json(): JsonObject {
    let value: unknown;
    try {
      value = JSON.parse(Buffer.concat(this.chunks).toString()) as unknown;
    } catch {
      throw new ApiError(400, "M_NOT_JSON", "Content not JSON.");
    }
    if (!isObject(value)) throw badJson("Content must be a JSON object.");
    return value;
  }

  /** The body as a JSON object; an empty body is an empty object. */
  jsonOrEmpty(): JsonObject {
    return this.chunks.every((chunk) => chunk.length === 0) ? {} : this.json();
  }

  /** The request's access token. Throws 401 M_MISSING_TOKEN. */
  token(): string {
    const header = this.headers.authorization;
    const inQuery = this.query.get("access_token");
    if (header !== undefined) {
      if (inQuery !== null) {
        throw missingToken("Mixing Authorization headers and access_token query parameters.");
      }
      const match = /^Bearer ([^ ]+)$/.exec(header);
      if (match?.[1] === undefined) throw missingToken("Invalid Authorization header.");
      return match[1];
    }
    if (inQuery === null) throw missingToken("Missing access token");
    return inQuery;
  }

  /** Who makes the request. Throws 401, 403 or 400 as Synapse does. */
  requester(): Requester {
    const token = this.token();
    const appservice = this.#store.appservices.byToken(token);
    if (appservice !== null) return this.#masqueraded(token, appservice);
    const held = this.#store.accounts.authenticate(token);
    const user = this.#store.accounts.user(held.userId);
    const device = user.devices.get(held.deviceId) ?? null;
    if (device !== null) device.lastSeenTs = Date.now();
    return {
      user,
      userId: held.userId,
      deviceId: held.deviceId,
      device,
      token,
      appservice: null,
    };
  }

  #masqueraded(token: string, appservice: Appservice): Requester {
    const accounts = this.#store.accounts;
    const userId = this.query.get("user_id") ?? appservice.senderId;
    if (!appservice.ownsUser(userId)) {
      throw new ApiError(
        403,
        "M_FORBIDDEN",
        `Application service cannot masquerade as this user (${userId}).`,
      );
    }
    const user = accounts.users.get(userId);
    if (user === undefined) {
      throw new ApiError(
        403,
        "M_FORBIDDEN",
        `Application service has not registered this user (${userId})`,
      );
    }
    const deviceId = this.query.get("device_id") ?? this.query.get("org.matrix.msc3202.device_id");
    const device = deviceId === null ? null : (user.devices.get(deviceId) ?? null);
    if (deviceId !== null && device === null) {
      throw new ApiError(
        400,
        "ORG.MATRIX.MSC4326.M_UNKNOWN_DEVICE",
        `Application service trying to use a device that doesn't exist ('${deviceId}' for ${userId})`,
      );
    }
    return { user, userId, deviceId, device, token, appservice };
  }
}

function missingToken(message: string): ApiError {
  return new ApiError(401, "M_MISSING_TOKEN", message);
}
