import type { Transform } from "node:stream";
import {
  brotliDecompressSync,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  gunzipSync,
  inflateSync,
} from "node:zlib";
import { MatrixError } from "../matrix/errors.ts";

/**
 * A decompressing stream for a `content-encoding`; null when there is nothing to do.
 *
 * @throws MatrixError 502 for an encoding that was never asked for
 */
export function decoderFor(encoding: string | string[] | undefined): Transform | null {
  switch (encoding) {
    case undefined:
    case "identity":
      return null;
    case "gzip":
    case "x-gzip":
      return createGunzip();
    case "br":
      return createBrotliDecompress();
    case "deflate":
      return createInflate();
    default:
      throw new MatrixError(
        502,
        "M_UNKNOWN",
        "the homeserver's answer has a content encoding that was not asked for",
      );
  }
}

/** Decompresses a short body; null when it cannot be, or would be longer than `maxBytes`. */
export function decodeShort(body: Buffer, encoding: unknown, maxBytes: number): Buffer | null {
  const options = { maxOutputLength: maxBytes };
  try {
    switch (encoding) {
      case undefined:
      case "identity":
        return body;
      case "gzip":
      case "x-gzip":
        return gunzipSync(body, options);
      case "br":
        return brotliDecompressSync(body, options);
      case "deflate":
        return inflateSync(body, options);
      default:
        return null;
    }
  } catch {
    return null;
  }
}
