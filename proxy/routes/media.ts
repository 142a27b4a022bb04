import { pipeline, type Readable } from "node:stream";
import type { Identity } from "../accounts/account.ts";
import type { Accounts } from "../accounts/accounts.ts";
import { asMxc, type EncryptedMedia } from "../matrix/encrypted-file.ts";
import { MatrixError } from "../matrix/errors.ts";
import { parseObject } from "../matrix/json.ts";
import { IDENTITY_PARAMETERS, keptQuery } from "../matrix/request-target.ts";
import { AttachmentDecryption } from "../media/attachment-streams.ts";
import { downloadHeaders, rangeOf } from "../media/download-headers.ts";
import type { MediaKeys } from "../media/media-keys.ts";
import type { SectionSessions } from "../sync/section-sessions.ts";
import type { Call, Handler, Handlers, Reply, StreamedResponse } from "./call.ts";

export interface MediaDeps {
  readonly accounts: Accounts;
  readonly sessions: SectionSessions;
  readonly keys: MediaKeys;
}

/** Longest error of the homeserver that is looked into. */
const MAX_ERROR_BYTES = 64 * 1024;
const LEGACY = "/_matrix/media/";
/** Query parameters of a download that say how long to wait and how large a thumbnail is; whom it is for is added. */
const KEPT = ["timeout_ms", "width", "height", "method", "animated"];
/**
 * Downloads: an attachment whose key the user has seen comes decrypted, anything else as the homeserver holds it.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#content-repository
 */
export function mediaRoutes(deps: MediaDeps): Handlers {
  return { mediaDownload: reader(deps, "download"), mediaThumbnail: reader(deps, "thumbnail") };
}

function reader(deps: MediaDeps, kind: "download" | "thumbnail"): Handler {
  const { accounts, sessions, keys } = deps;
  return async (call): Promise<Reply | "pass"> => {
    const isLegacy = call.rawPath.startsWith(LEGACY);
    const { token } = call;
    if (token === null) {
      const isNamed = call.headers.authorization !== undefined;
      return isLegacy && isNamed ? plain(await call.fetch(anonymous(call))) : "pass";
    }
    // The legacy endpoints take no token: what stands there may be another service's, and is shown to nobody.
    if (isLegacy && !accounts.isKnown(token, call.masquerade)) {
      return plain(await call.fetch(anonymous(call)));
    }
    const identity = await accounts.identify(token, call.masquerade);
    const media = ownsKeys(sessions, identity) ? null : find(keys, identity, call);
    if (media !== null) return decrypted(call, token, media);
    return isLegacy ? plain(await fetchMedia(call, token, kind)) : "pass";
  };
}

/** A client that encrypts by itself decrypts its attachments too. */
function ownsKeys(sessions: SectionSessions, { userId, deviceId }: Identity): boolean {
  return deviceId !== null && sessions.passesThrough({ userId, deviceId });
}

function find(keys: MediaKeys, { userId }: Identity, { params }: Call): EncryptedMedia | null {
  const mxc = asMxc(`mxc://${params["serverName"] ?? ""}/${params["mediaId"] ?? ""}`);
  return mxc === null ? null : keys.find(userId, mxc);
}

async function decrypted(call: Call, token: string, media: EncryptedMedia): Promise<Reply> {
  const response = await fetchMedia(call, token, "download");
  if (response.statusCode !== 200) return plain(response);
  if ((response.headers["content-encoding"] ?? "identity") !== "identity") {
    response.body.destroy();
    throw new MatrixError(502, "M_UNKNOWN", "the homeserver compressed an attachment unasked");
  }
  const length = response.headers["content-length"];
  const sizeBytes = typeof length === "string" ? Number(length) : null;
  const headers = downloadHeaders(response.headers, media, call.params["fileName"] ?? null);
  const range = rangeOf(call.headers.range, sizeBytes);
  if (range === "unsatisfiable") {
    response.body.destroy();
    const contentRange = { "content-range": `bytes */${sizeBytes ?? 0}` };
    return { statusCode: 416, headers: contentRange, body: "" };
  }
  const stream = new AttachmentDecryption(media.secret, range ?? undefined);
  // Whichever side fails, pipeline destroys the other; the front breaks the transfer then.
  pipeline(response.body, stream, () => undefined);
  if (range === null) return { statusCode: 200, headers, body: stream };
  headers["content-range"] = `bytes ${range.first}-${range.last}/${sizeBytes ?? 0}`;
  headers["content-length"] = String(range.last - range.first + 1);
  return { statusCode: 206, headers, body: stream };
}

/** By the authenticated endpoint; by the legacy one where the homeserver is too old to have it. */
async function fetchMedia(
  call: Call,
  token: string,
  kind: "download" | "thumbnail",
): Promise<StreamedResponse> {
  const names =
    kind === "thumbnail"
      ? [...KEPT, ...IDENTITY_PARAMETERS]
      : ["timeout_ms", ...IDENTITY_PARAMETERS];
  const path = `${kind}/${mediaPath(call)}${keptQuery(call.query, names)}`;
  const response = await call.fetch({ path: `/_matrix/client/v1/media/${path}`, token });
  if (response.statusCode !== 404) return response;
  if (await isUnrecognized(response.body)) {
    return call.fetch({ path: `/_matrix/media/v3/${path}`, token });
  }
  throw new MatrixError(404, "M_NOT_FOUND", "the homeserver does not have this file");
}

async function isUnrecognized(body: Readable): Promise<boolean> {
  let text = "";
  for await (const chunk of body as AsyncIterable<Buffer>) {
    text += chunk.toString("latin1");
    if (text.length > MAX_ERROR_BYTES) break;
  }
  return parseObject(text)?.["errcode"] === "M_UNRECOGNIZED";
}

/** The client's own request without whoever it says it is. */
function anonymous(call: Call): { readonly path: string; readonly token: null } {
  const [path = ""] = call.rawPath.split("?", 1);
  return { path: path + keptQuery(call.query, [...KEPT, "allow_remote"]), token: null };
}

function mediaPath({ params }: Call): string {
  return [params["serverName"] ?? "", params["mediaId"] ?? ""].map(encodeURIComponent).join("/");
}

function plain({ statusCode, headers, body }: StreamedResponse): Reply {
  return { statusCode, headers, body };
}
