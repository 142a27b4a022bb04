import {
  type Cipher,
  createCipheriv,
  createDecipheriv,
  createHash,
  type Decipher,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { Transform, type TransformCallback } from "node:stream";
import type { AttachmentSecret } from "../matrix/encrypted-file.ts";

const CIPHER = "aes-256-ctr";

/** The ciphertext is not the one that the event's author hashed: it was swapped or cut. */
export class AttachmentHashError extends Error {
  override readonly name = "AttachmentHashError";
  readonly code = "ATTACHMENT_HASH";
  constructor() {
    super("the attachment's ciphertext does not have the hash that its event names");
  }
}

/** Bytes of the plaintext, both ends included. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/**
 * Encrypts an attachment under a key of its own as it flows by. {@link secret} is complete when the stream has ended.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#sending-encrypted-attachments
 */
export class AttachmentEncryption extends Transform {
  readonly #key = randomBytes(32);
  // The lower half counts blocks: it must begin at zero, or large files would wrap into the upper one.
  readonly #iv = Buffer.concat([randomBytes(8), Buffer.alloc(8)]);
  readonly #hash = createHash("sha256");
  readonly #cipher: Cipher = createCipheriv(CIPHER, this.#key, this.#iv);
  #sizeBytes = 0;
  #secret: AttachmentSecret | null = null;

  /** Bytes that went through so far; ciphertext and plaintext are equally long. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** What decrypts it. @throws Error before the end of the stream */
  get secret(): AttachmentSecret {
    if (this.#secret === null)
      throw new Error("expected the attachment to be encrypted to its end");
    return this.#secret;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const encrypted = this.#cipher.update(chunk);
    this.#hash.update(encrypted);
    this.#sizeBytes += chunk.length;
    done(null, encrypted);
  }

  override _flush(done: TransformCallback): void {
    this.#secret = { key: this.#key, iv: this.#iv, sha256: this.#hash.digest() };
    done();
  }
}

/**
 * Decrypts an attachment as it flows by. The last piece is held back until the hash of the whole ciphertext was checked: with another
 * ciphertext the stream fails before its end, never silently.
 *
 * A range is cut out of the whole: the hash covers all of the ciphertext, and a part that was fetched alone could not be checked.
 */
export class AttachmentDecryption extends Transform {
  readonly #secret: AttachmentSecret;
  readonly #range: ByteRange;
  readonly #hash = createHash("sha256");
  readonly #decipher: Decipher;
  #position = 0;
  #held: Buffer | null = null;

  constructor(secret: AttachmentSecret, range?: ByteRange) {
    super();
    this.#secret = secret;
    this.#range = range ?? { first: 0, last: Number.MAX_SAFE_INTEGER - 1 };
    this.#decipher = createDecipheriv(CIPHER, secret.key, secret.iv);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#hash.update(chunk);
    const plain = this.#decipher.update(chunk);
    const { first, last } = this.#range;
    const from = Math.max(0, first - this.#position);
    const to = Math.min(plain.length, last + 1 - this.#position);
    this.#position += plain.length;
    if (from < to) {
      if (this.#held !== null) this.push(this.#held);
      this.#held = plain.subarray(from, to);
    }
    done();
  }

  override _flush(done: TransformCallback): void {
    if (!timingSafeEqual(this.#hash.digest(), this.#secret.sha256)) {
      done(new AttachmentHashError());
      return;
    }
    done(null, this.#held ?? undefined);
  }
}
