import type { IncomingHttpHeaders } from "node:http";
import { parseObject } from "../matrix/json.ts";

/** Whom an application service's request speaks for, as its query says. */
export interface Masquerade {
  readonly userId?: string;
  readonly deviceId?: string;
}

/** Who wants to know what the homeserver's answers say about access tokens. Called for each answer: must be quick. */
export interface TokenWatch {
  /**
   * The homeserver answered 2xx to a request with this token.
   *
   * @param sentAtMs - when the request came in: the end of a long poll says nothing about now
   */
  confirmed(token: string, sentAtMs: number, masquerade: Masquerade): void;
  /**
   * The homeserver answered 401 M_UNKNOWN_TOKEN. After a soft logout the device and its keys stay.
   *
   * @see https://spec.matrix.org/v1.16/client-server-api/#soft-logout
   */
  rejected(token: string, o: { readonly softLogout: boolean }): void;
}

const NOBODY: Masquerade = {};
/** The name before the specification took it; Synapse before 1.141 knows no other. */
const DEVICE_ID_UNSTABLE = "org.matrix.msc3202.device_id";

/**
 * The masquerade of a request target.
 *
 * @see https://spec.matrix.org/v1.17/application-service-api/#identity-assertion
 */
export function masqueradeOf(target: string): Masquerade {
  const start = target.indexOf("?");
  if (start === -1) return NOBODY;
  const text = target.slice(start + 1);
  // A homeserver decodes names too: `user%5Fid` is one of them.
  if (!text.includes("_id") && !text.includes("%")) return NOBODY;
  const query = new URLSearchParams(text);
  const userId = query.get("user_id");
  const deviceId = query.get("device_id") ?? query.get(DEVICE_ID_UNSTABLE);
  return { ...(userId === null ? {} : { userId }), ...(deviceId === null ? {} : { deviceId }) };
}

/** The access token of a request: the Authorization header's, else the query's; null when there is none. */
export function tokenOf(headers: IncomingHttpHeaders, target: string): string | null {
  const authorization = headers.authorization;
  if (authorization !== undefined) {
    return /^bearer +(\S+) *$/i.exec(authorization)?.[1] ?? null;
  }
  const query = target.indexOf("?");
  if (query === -1) return null;
  const token = new URLSearchParams(target.slice(query + 1)).get("access_token");
  return token === "" ? null : token;
}

const IDENTITY_NAMES = ["access_token", "user_id", "device_id", DEVICE_ID_UNSTABLE];

/**
 * Whether servers may read different senders out of a request target: a name of {@link IDENTITY_NAMES} comes twice (some take the
 * first, some the last), or there is a raw `;`, which Synapse's HTTP library takes for a separator and others for text. No client's
 * library writes either.
 */
export function hasAmbiguousSender(target: string): boolean {
  const start = target.indexOf("?");
  if (start === -1) return false;
  const text = target.slice(start + 1);
  if (text.includes(";")) return true;
  if (!text.includes("_token") && !text.includes("_id") && !text.includes("%")) return false;
  const query = new URLSearchParams(text);
  if (IDENTITY_NAMES.some((name) => query.getAll(name).length > 1)) return true;
  const [stable, unstable] = [query.get("device_id"), query.get(DEVICE_ID_UNSTABLE)];
  return stable !== null && unstable !== null && stable !== unstable;
}

/** What a request said of its sender. */
export interface Sender {
  readonly token: string | null;
  readonly sentAtMs: number;
  readonly masquerade: Masquerade;
}

/** Reports what an answer says about the token that asked for it; `body` is looked at for a 401 only. */
export function watchAnswer(
  watch: TokenWatch,
  sender: Sender,
  statusCode: number,
  body: Buffer | null,
): void {
  const { token } = sender;
  if (token === null) return;
  if (statusCode >= 200 && statusCode < 300)
    watch.confirmed(token, sender.sentAtMs, sender.masquerade);
  if (statusCode !== 401 || body === null) return;
  const error = parseObject(body.toString("utf8"));
  if (error?.["errcode"] === "M_UNKNOWN_TOKEN") {
    watch.rejected(token, { softLogout: error["soft_logout"] === true });
  }
}
