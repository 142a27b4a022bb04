import type { Homeserver, UpstreamResponse } from "../homeserver/homeserver.ts";
import { MatrixError } from "../matrix/errors.ts";
import type { DeviceId, UserId } from "../matrix/identifiers.ts";
import { asString, parseObject } from "../matrix/json.ts";
import type { Identity, Masquerade } from "./account.ts";
import { identityOf } from "./account.ts";

/**
 * What the homeserver says about a token:
 * - `known`: it is valid and speaks for this identity;
 * - `refused`: the homeserver itself refuses it with this Matrix error (401, 403, 400);
 * - `unavailable`: no word about the token; `error` is what a caller without an answer of its own gets.
 */
export type WhoamiAnswer =
  | { readonly kind: "known"; readonly identity: Identity }
  | { readonly kind: "refused"; readonly error: MatrixError }
  | { readonly kind: "unavailable"; readonly error: MatrixError };

const MAX_BYTES = 64 * 1024;
/** Longest user or device id that is taken, in UTF-16 units; the specification's limit is 255 bytes. */
const MAX_ID_LENGTH = 255;

/**
 * Asks the homeserver whose token this is.
 *
 * @throws what the homeserver's connection throws that is no {@link MatrixError}: a defect of ours
 * @see https://spec.matrix.org/v1.16/client-server-api/#get_matrixclientv3accountwhoami
 */
export async function askWhoami(
  homeserver: Pick<Homeserver, "request">,
  token: string,
  masquerade: Masquerade,
  timeoutMs: number,
): Promise<WhoamiAnswer> {
  let response: UpstreamResponse;
  try {
    response = await homeserver.request({
      method: "GET",
      path: `/_matrix/client/v3/account/whoami${toQuery(masquerade)}`,
      headers: { authorization: `Bearer ${token}` },
      timeoutMs,
      maxBytes: MAX_BYTES,
    });
  } catch (error) {
    if (error instanceof MatrixError) return { kind: "unavailable", error };
    throw error;
  }
  return readAnswer(response, token);
}

function toQuery(masquerade: Masquerade): string {
  const query = new URLSearchParams();
  if (masquerade.userId !== undefined) query.set("user_id", masquerade.userId);
  if (masquerade.deviceId !== undefined) {
    query.set("device_id", masquerade.deviceId);
    // Synapse before 1.141 knows only this name.
    query.set("org.matrix.msc3202.device_id", masquerade.deviceId);
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

function readAnswer(response: UpstreamResponse, token: string): WhoamiAnswer {
  const { statusCode } = response;
  const body = parseObject(response.body.toString("utf8"));
  if (statusCode === 200) {
    const identity = readIdentity(body, token);
    return identity === null
      ? unavailable("the homeserver's answer to whoami names no user")
      : { kind: "known", identity };
  }
  const errcode = asString(body?.["errcode"]);
  const message = asString(body?.["error"]) ?? "the homeserver refuses this token";
  if (statusCode === 429) {
    const retryAfterMs = body?.["retry_after_ms"];
    const fields = typeof retryAfterMs === "number" ? { retry_after_ms: retryAfterMs } : {};
    const error = new MatrixError(429, errcode ?? "M_LIMIT_EXCEEDED", message, { fields });
    return { kind: "unavailable", error };
  }
  // Without an errcode it is no Matrix answer: a reverse proxy in between speaks for itself only.
  if (errcode !== null && [400, 401, 403].includes(statusCode)) {
    const fields = body?.["soft_logout"] === true ? { soft_logout: true } : {};
    return {
      kind: "refused",
      error: new MatrixError(statusCode, errcode, message, { fields }),
    };
  }
  return unavailable(`the homeserver answered ${statusCode} to whoami`);
}

function readIdentity(body: Record<string, unknown> | null, token: string): Identity | null {
  const userId = readId(body?.["user_id"]);
  if (!userId?.startsWith("@")) return null;
  // An id that cannot be a device is taken as none: no crypto, rather than crypto for a wrong device.
  return identityOf(token, userId as UserId, readId(body?.["device_id"]) as DeviceId | null);
}

function readId(value: unknown): string | null {
  const text = asString(value);
  return text === null || text === "" || text.length > MAX_ID_LENGTH ? null : text;
}

function unavailable(message: string): WhoamiAnswer {
  return { kind: "unavailable", error: new MatrixError(502, "M_UNKNOWN", message) };
}
