import type { IncomingHttpHeaders } from "node:http";
import { parseObject } from "../matrix/json.ts";

/** Who wants to know what the homeserver's answers say about access tokens. Called once for each answer: must be quick. */
export interface TokenWatch {
  /** The homeserver answered 2xx to a request with this token. */
  confirmed(token: string): void;
  /**
   * The homeserver answered 401 M_UNKNOWN_TOKEN. After a soft logout the device and its keys stay.
   *
   * @see https://spec.matrix.org/v1.16/client-server-api/#soft-logout
   */
  rejected(token: string, softLogout: boolean): void;
}

/** The access token of a request: the Authorization header's, else the query's; null when there is none. */
export function tokenOf(headers: IncomingHttpHeaders, target: string): string | null {
  const authorization = headers.authorization;
  if (authorization !== undefined) {
    return /^bearer +(\S+) *$/i.exec(authorization)?.[1] ?? null;
  }
  const query = target.indexOf("?");
  if (query === -1 || !target.includes("access_token", query)) return null;
  const token = new URLSearchParams(target.slice(query + 1)).get("access_token");
  return token === "" ? null : token;
}

/** Reports what a buffered answer says about the token that asked for it. */
export function watchAnswer(
  watch: TokenWatch,
  token: string | null,
  statusCode: number,
  body: Buffer,
): void {
  if (token === null) return;
  if (statusCode >= 200 && statusCode < 300) watch.confirmed(token);
  if (statusCode !== 401) return;
  const error = parseObject(body.toString("utf8"));
  if (error?.["errcode"] === "M_UNKNOWN_TOKEN")
    watch.rejected(token, error["soft_logout"] === true);
}
