import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

/** Length of every key here, in bytes. */
export const KEY_BYTES = 32;

const VERSION = 1;
const ID_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + ID_BYTES;
const WRAPPED_BYTES = HEADER_BYTES + NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/**
 * Why a wrapped key could not be opened:
 * - `format`: not of the version or length that this release writes;
 * - `master`: wrapped by another master key;
 * - `damaged`: the right master key, but the bytes or the purpose are not the ones that were wrapped.
 */
export type UnwrapFailure = "format" | "master" | "damaged";

/** A wrapped key could not be opened; carries no key material. */
export class KeyUnwrapError extends Error {
  override readonly name = "KeyUnwrapError";
  readonly code = "KEY_UNWRAP";
  readonly reason: UnwrapFailure;
  /** The id of the master key that wrapped it, as hex; `null` where the format is unknown. */
  readonly wrappedBy: string | null;

  constructor(reason: UnwrapFailure, wrappedBy: string | null) {
    super(`the wrapped key cannot be opened: ${reason}`);
    this.reason = reason;
    this.wrappedBy = wrappedBy;
  }
}

/**
 * Wraps and unwraps 32-byte file keys with AES-256-GCM under a key derived from the master key.
 *
 * Format, 69 bytes: version (1), id of the master key (8), nonce (12), ciphertext (32), tag (16).
 * The id is derived, tells nothing about the key, and lets "another master key" be told from "damaged".
 * The purpose is authenticated, so that a wrapped key moved to another row or file does not open.
 */
export class KeyWrapper {
  /** Id of the master key, 16 hex digits. */
  readonly masterId: string;
  readonly #key: Buffer;

  /**
   * @param master the 32 bytes of the master key
   * @throws RangeError where it has another length
   */
  constructor(master: Uint8Array) {
    if (master.length !== KEY_BYTES) {
      throw new RangeError(`expected a master key of ${KEY_BYTES} bytes, got ${master.length}`);
    }
    this.#key = derive(master, "kirjava key wrapping", KEY_BYTES);
    this.masterId = derive(master, "kirjava master key id", ID_BYTES).toString("hex");
  }

  /** @param purpose what the key is for, part by part; the same parts are needed to unwrap */
  wrap(key: Uint8Array, purpose: readonly string[]): Buffer {
    if (key.length !== KEY_BYTES) {
      throw new RangeError(`expected a key of ${KEY_BYTES} bytes, got ${key.length}`);
    }
    const header = Buffer.concat([Buffer.of(VERSION), Buffer.from(this.masterId, "hex")]);
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    cipher.setAAD(additionalData(header, purpose));
    const sealed = Buffer.concat([cipher.update(key), cipher.final()]);
    return Buffer.concat([header, nonce, sealed, cipher.getAuthTag()]);
  }

  /** @throws KeyUnwrapError */
  unwrap(wrapped: Uint8Array, purpose: readonly string[]): Buffer {
    const bytes = Buffer.from(wrapped);
    if (bytes.length !== WRAPPED_BYTES || bytes[0] !== VERSION) {
      throw new KeyUnwrapError("format", null);
    }
    const header = bytes.subarray(0, HEADER_BYTES);
    const wrappedBy = header.subarray(1).toString("hex");
    if (wrappedBy !== this.masterId) throw new KeyUnwrapError("master", wrappedBy);
    const sealedStart = HEADER_BYTES + NONCE_BYTES;
    const tagStart = sealedStart + KEY_BYTES;
    const decipher = createDecipheriv(
      "aes-256-gcm",
      this.#key,
      bytes.subarray(HEADER_BYTES, sealedStart),
      { authTagLength: TAG_BYTES },
    );
    decipher.setAAD(additionalData(header, purpose));
    decipher.setAuthTag(bytes.subarray(tagStart));
    try {
      return Buffer.concat([
        decipher.update(bytes.subarray(sealedStart, tagStart)),
        decipher.final(),
      ]);
    } catch {
      // The cause says nothing more than that the tag does not match.
      throw new KeyUnwrapError("damaged", wrappedBy);
    }
  }
}

function derive(master: Uint8Array, info: string, length: number): Buffer {
  return Buffer.from(hkdfSync("sha256", master, Buffer.alloc(0), info, length));
}

function additionalData(header: Buffer, purpose: readonly string[]): Buffer {
  // JSON keeps the borders between the parts: ["a","bc"] and ["ab","c"] differ.
  return Buffer.concat([header, Buffer.from(JSON.stringify(purpose), "utf8")]);
}
