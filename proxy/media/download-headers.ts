import type { HeaderMap } from "../homeserver/headers.ts";
import type { EncryptedMedia } from "../matrix/encrypted-file.ts";
import type { ByteRange } from "./attachment-streams.ts";

/**
 * Types that a browser may show in place; whatever else a sender claims could be a page with scripts.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#serving-inline-content
 */
const INLINE: ReadonlySet<string> = new Set(
  "text/css text/plain text/csv application/json application/ld+json image/jpeg image/gif image/png image/apng image/webp image/avif video/mp4 video/webm video/ogg video/quicktime audio/mp4 audio/webm audio/aac audio/mpeg audio/ogg audio/wave audio/wav audio/x-wav audio/x-pn-wav audio/flac audio/x-flac".split(
    " ",
  ),
);

/** What the homeserver says of the ciphertext, and what does not hold for the plaintext. */
const OF_THE_CIPHERTEXT = ["etag", "last-modified", "accept-ranges", "content-range", "digest"];

/** The headers of a decrypted attachment: type and name from its event, the rest as the homeserver sent it. */
export function downloadHeaders(
  upstream: HeaderMap,
  media: EncryptedMedia,
  fileName: string | null,
): HeaderMap {
  const headers: HeaderMap = {
    "content-security-policy": "sandbox; default-src 'none'; script-src 'none'",
    ...upstream,
    "x-content-type-options": "nosniff",
  };
  for (const name of OF_THE_CIPHERTEXT) headers[name] = undefined;
  const contentType = media.contentType ?? "application/octet-stream";
  headers["content-type"] = contentType;
  const how = INLINE.has(contentType.toLowerCase()) ? "inline" : "attachment";
  const name = fileName ?? media.fileName;
  headers["content-disposition"] = name === null ? how : `${how}; filename*=utf-8''${encode(name)}`;
  return headers;
}

/**
 * The part of a body that a Range header asks for.
 *
 * @returns `null` for the whole (no range, several, or one that is not understood); `unsatisfiable` where it begins after the end
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function rangeOf(
  header: string | undefined,
  sizeBytes: number | null,
): ByteRange | "unsatisfiable" | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "");
  if (match === null || sizeBytes === null) return null;
  const [, from = "", to = ""] = match;
  if (from === "" && to === "") return null;
  const first = from === "" ? Math.max(0, sizeBytes - Number(to)) : Number(from);
  const last = from === "" || to === "" ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1);
  if (from !== "" && to !== "" && Number(to) < first) return null;
  return first >= sizeBytes || last < first ? "unsatisfiable" : { first, last };
}

/** RFC 8187: what `encodeURIComponent` leaves and a header value may not hold is encoded too. */
function encode(name: string): string {
  return encodeURIComponent(Buffer.from(name).toString()).replace(
    /['()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
