import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { Attachment, EncryptedAttachment, initAsync } from "@matrix-org/matrix-sdk-crypto-wasm";
import { beforeAll, describe, expect, it } from "vitest";
import type { AttachmentSecret } from "../../../proxy/matrix/encrypted-file.ts";
import { showAttachments } from "../../../proxy/matrix/encrypted-file.ts";
import {
  AttachmentDecryption,
  AttachmentEncryption,
  AttachmentHashError,
  type ByteRange,
} from "../../../proxy/media/attachment-streams.ts";

const unpadded = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64").replace(/=+$/, "");

/** The `file` member of an event, as another implementation reads it. */
function fileOf({ key, iv, sha256 }: AttachmentSecret) {
  const k = Buffer.from(key).toString("base64url");
  return {
    v: "v2",
    url: "mxc://example.org/abc",
    key: { kty: "oct", key_ops: ["encrypt", "decrypt"], alg: "A256CTR", k, ext: true },
    iv: unpadded(iv),
    hashes: { sha256: unpadded(sha256) },
  };
}

/** A secret out of an event. */
function secretOf(file: unknown): AttachmentSecret {
  const [media] = showAttachments({ file }).media;
  if (media === undefined) throw new Error("expected an encrypted file");
  return media.secret;
}

function pieces(data: Buffer, size: number): Readable {
  const starts = Array.from({ length: Math.ceil(data.length / size) }, (_, at) => at * size);
  return Readable.from(starts.map((at) => data.subarray(at, at + size)));
}

async function encrypt(data: Buffer, size: number) {
  const stream = new AttachmentEncryption();
  pieces(data, size).pipe(stream);
  const ciphertext = Buffer.concat((await stream.toArray()) as Buffer[]);
  return { ciphertext, secret: stream.secret, sizeBytes: stream.sizeBytes };
}

async function decrypt(data: Buffer, size: number, secret: AttachmentSecret, range?: ByteRange) {
  const stream = new AttachmentDecryption(secret, range);
  pieces(data, size).pipe(stream);
  return Buffer.concat((await stream.toArray()) as Buffer[]);
}

const plain = randomBytes(1_000);
/** Whole, in pieces that fit no block, in blocks, byte by byte. */
const sizes = [1_000, 333, 16, 1];

describe("attachment streams", () => {
  beforeAll(() => initAsync());

  it.each(sizes)("encrypt for the engine in pieces of %i", async (size) => {
    const { ciphertext, secret, sizeBytes } = await encrypt(plain, size);
    const attachment = new EncryptedAttachment(ciphertext, JSON.stringify(fileOf(secret)));
    expect(Buffer.from(Attachment.decrypt(attachment))).toEqual(plain);
    expect(sizeBytes).toBe(plain.length);
  });

  it.each(sizes)("decrypt what the engine encrypted in pieces of %i", async (size) => {
    const encrypted = Attachment.encrypt(plain);
    const info = JSON.parse(encrypted.mediaEncryptionInfo ?? "{}") as object;
    const secret = secretOf({ ...info, url: "mxc://example.org/abc" });
    expect(await decrypt(Buffer.from(encrypted.encryptedData), size, secret)).toEqual(plain);
  });

  it("take an empty file", async () => {
    const { ciphertext, secret } = await encrypt(Buffer.alloc(0), 1);
    expect(ciphertext).toHaveLength(0);
    expect(await decrypt(ciphertext, 1, secret)).toHaveLength(0);
  });

  it("begin the counter at zero, under a new key each time", async () => {
    const [one, other] = [await encrypt(plain, 100), await encrypt(plain, 100)];
    expect(Buffer.from(one.secret.iv).subarray(8)).toEqual(Buffer.alloc(8));
    expect(one.secret.iv).not.toEqual(other.secret.iv);
    expect(one.secret.key).not.toEqual(other.secret.key);
  });

  it.each(sizes)("cut a range out in pieces of %i", async (size) => {
    const { ciphertext, secret } = await encrypt(plain, size);
    const part = await decrypt(ciphertext, size, secret, { first: 17, last: 400 });
    expect(part).toEqual(plain.subarray(17, 401));
  });

  it.each(sizes)("fail before the end in pieces of %i where a byte was changed", async (size) => {
    const { ciphertext, secret } = await encrypt(plain, size);
    ciphertext[500] = (ciphertext[500] ?? 0) ^ 1;
    for (const range of [undefined, { first: 0, last: 9 }]) {
      const stream = new AttachmentDecryption(secret, range);
      pieces(ciphertext, size).pipe(stream);
      let releasedBytes = 0;
      const read = async () => {
        for await (const chunk of stream) releasedBytes += (chunk as Buffer).length;
      };
      await expect(read()).rejects.toThrow(AttachmentHashError);
      expect(releasedBytes).toBeLessThan(range === undefined ? plain.length : 10);
    }
  });

  it("fail where the ciphertext was cut short", async () => {
    const { ciphertext, secret } = await encrypt(plain, 100);
    const cut = ciphertext.subarray(0, 999);
    await expect(decrypt(cut, 100, secret)).rejects.toThrow(AttachmentHashError);
  });
});
