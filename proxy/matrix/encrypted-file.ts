import type { MxcUri } from "./identifiers.ts";
import { asObject, asString, type JsonObject } from "./json.ts";

/** What decrypts one attachment and proves that it is the right one. */
export interface AttachmentSecret {
  /** 32 bytes, AES-256. */
  readonly key: Uint8Array;
  /** 16 bytes: the first value of the counter. */
  readonly iv: Uint8Array;
  /** 32 bytes: SHA-256 of the ciphertext. */
  readonly sha256: Uint8Array;
}

/** An encrypted attachment as an event or an upload named it. */
export interface EncryptedMedia {
  readonly mxc: MxcUri;
  readonly secret: AttachmentSecret;
  /** Of the plaintext; `null` where it is not said. */
  readonly contentType: string | null;
  readonly fileName: string | null;
}

const MXC = /^mxc:\/\/[\w.:[\]-]{1,255}\/[\w-]{1,255}$/;
const MEDIA_TYPE = /^[\w!#$&^.+-]{1,127}\/[\w!#$&^.+-]{1,127}$/;
const MAX_FILE_NAME_LENGTH = 255;

/** The value as an `mxc:` URI that is fit to go into a path; `null` where it is anything else. */
export function asMxc(value: unknown): MxcUri | null {
  return typeof value === "string" && MXC.test(value) ? (value as MxcUri) : null;
}

/**
 * Shows a decrypted content as a plain client expects it: an attachment under `url` and `info.thumbnail_url`, in an edit's
 * `m.new_content` too. `file` and `info.thumbnail_file` are taken out: a client that found them would decrypt for a second time what
 * it downloads in the clear.
 *
 * @returns a changed copy, and the attachments whose keys stood in it
 * @see https://spec.matrix.org/v1.16/client-server-api/#extensions-to-mroommessage-msgtypes
 */
export function showAttachments(content: JsonObject): {
  readonly content: JsonObject;
  readonly media: readonly EncryptedMedia[];
} {
  const media: EncryptedMedia[] = [];
  let shown = showIn(content, media);
  const edited = asObject(shown["m.new_content"]);
  if (edited !== null) {
    const shownEdit = showIn(edited, media);
    if (shownEdit !== edited) shown = { ...shown, "m.new_content": shownEdit };
  }
  return { content: shown, media };
}

function showIn(content: JsonObject, media: EncryptedMedia[]): JsonObject {
  let shown = content;
  const info = asObject(content["info"]);
  const fileName = asString(content["filename"]) ?? asString(content["body"]);
  const file = readFile(content["file"], asString(info?.["mimetype"]), fileName);
  if (file !== null) {
    media.push(file);
    shown = { ...without(content, "file"), url: file.mxc };
  }
  const thumbnailType = asString(asObject(info?.["thumbnail_info"])?.["mimetype"]);
  const thumbnail = readFile(info?.["thumbnail_file"], thumbnailType, null);
  if (thumbnail === null) return shown;
  media.push(thumbnail);
  const shownInfo = { ...without(info ?? {}, "thumbnail_file"), thumbnail_url: thumbnail.mxc };
  return { ...shown, info: shownInfo };
}

function without(object: JsonObject, name: string): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([member]) => member !== name));
}

/** An EncryptedFile of version 2; `null` where it is none that can be decrypted. */
function readFile(
  value: unknown,
  contentType: string | null,
  fileName: string | null,
): EncryptedMedia | null {
  const file = asObject(value);
  const jwk = asObject(file?.["key"]);
  const mxc = asMxc(file?.["url"]);
  if (file?.["v"] !== "v2" || jwk?.["alg"] !== "A256CTR" || mxc === null) return null;
  const key = bytes(jwk["k"], 32);
  const iv = bytes(file["iv"], 16);
  const sha256 = bytes(asObject(file["hashes"])?.["sha256"], 32);
  if (key === null || iv === null || sha256 === null) return null;
  return {
    mxc,
    secret: { key, iv, sha256 },
    contentType: contentType !== null && MEDIA_TYPE.test(contentType) ? contentType : null,
    fileName: fileName?.slice(0, MAX_FILE_NAME_LENGTH) ?? null,
  };
}

/** Base64 of either alphabet, padded or not, of exactly this many bytes. */
function bytes(value: unknown, length: number): Uint8Array | null {
  const text = asString(value);
  if (text === null || !/^[\w+/-]+={0,2}$/.test(text)) return null;
  const decoded = Buffer.from(text, "base64");
  return decoded.length === length ? new Uint8Array(decoded) : null;
}
