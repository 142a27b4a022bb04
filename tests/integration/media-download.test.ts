import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { PlainJsSdk } from "../support/peers/plain-js-sdk.ts";

const unpadded = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64").replace(/=+$/, "");
const picture = randomBytes(300_000);

describe("an attachment of an encrypted client", () => {
  let homeserver: TestHomeserver;
  let daemon: Daemon;
  let peer: EncryptedPeer;
  let plain: PlainJsSdk;
  let token: string;
  let peerToken: string;
  let stranger: string;
  let roomId: string;

  beforeAll(async () => {
    homeserver = await startTestHomeserver();
    daemon = await Daemon.start({ homeserver: homeserver.url, section: { HideEncryption: "yes" } });
    const peerUser = await homeserver.registerUser("peer");
    peer = await EncryptedPeer.start(homeserver.url, peerUser);
    const plainUser = await homeserver.registerUser("plain");
    plain = await PlainJsSdk.start(daemon.url, plainUser);
    [token, peerToken] = [plainUser.accessToken, peerUser.accessToken];
    stranger = (await homeserver.registerUser("stranger")).accessToken;
    roomId = await peer.createEncryptedRoom([plain.userId]);
    await plain.join(roomId);
    await peer.waitForMember(roomId, plain.userId, "join");
  });

  afterAll(async () => {
    plain.stop();
    peer.stop();
    await daemon.dispose();
    await homeserver.stop();
  });

  /** Encrypts with node:crypto, uploads to the homeserver itself and sends the event. */
  async function send(name: string, hashed?: Buffer): Promise<string> {
    const [key, iv] = [randomBytes(32), Buffer.concat([randomBytes(8), Buffer.alloc(8)])];
    const ciphertext = createCipheriv("aes-256-ctr", key, iv).update(picture);
    const uploaded = await fetch(`${homeserver.url}/_matrix/media/v3/upload`, {
      method: "POST",
      headers: { authorization: `Bearer ${peerToken}`, "content-type": "application/octet-stream" },
      body: ciphertext,
    });
    const { content_uri: url } = (await uploaded.json()) as { content_uri: string };
    const sha256 = unpadded(
      createHash("sha256")
        .update(hashed ?? ciphertext)
        .digest(),
    );
    const jwk = { kty: "oct", key_ops: ["encrypt", "decrypt"], alg: "A256CTR", ext: true };
    const file = {
      v: "v2",
      url,
      key: { ...jwk, k: key.toString("base64url") },
      iv: unpadded(iv),
      hashes: { sha256 },
    };
    const info = { mimetype: "image/png", size: picture.length };
    const content = { msgtype: "m.image", body: name, info, file };
    await peer.client.sendEvent(roomId, "m.room.message", content);
    const seen = await plain.waitForText(name);
    expect(seen.raw["content"]).toEqual({ msgtype: "m.image", body: name, info, url });
    return url.replace("mxc://", "");
  }

  const get = (
    path: string,
    authorization: string | null,
    o: { readonly method?: string; readonly range?: string } = {},
  ) => {
    const headers: Record<string, string> = {};
    if (authorization !== null) headers["authorization"] = `Bearer ${authorization}`;
    if (o.range !== undefined) headers["range"] = o.range;
    return fetch(daemon.url + path, { method: o.method ?? "GET", headers });
  };
  const bytes = async (response: Response) => Buffer.from(await response.arrayBuffer());

  it("is downloaded in the clear, by every endpoint, and by nobody else", async () => {
    const media = await send("cat's.png");
    const path = `/_matrix/client/v1/media/download/${media}`;
    const whole = await get(path, token);
    expect(whole.status).toBe(200);
    expect(whole.headers.get("content-type")).toBe("image/png");
    expect(whole.headers.get("content-length")).toBe(String(picture.length));
    expect(whole.headers.get("content-disposition")).toBe("inline; filename*=utf-8''cat%27s.png");
    expect((await bytes(whole)).equals(picture)).toBe(true);

    const legacy = await get(`/_matrix/media/r0/download/${media}/cat.png`, token);
    expect(legacy.headers.get("content-disposition")).toBe("inline; filename*=utf-8''cat.png");
    expect((await bytes(legacy)).equals(picture)).toBe(true);
    const thumbnail = `/_matrix/client/v1/media/thumbnail/${media}?width=32&height=32`;
    expect((await bytes(await get(thumbnail, token))).equals(picture)).toBe(true);

    const part = await get(path, token, { range: "bytes=1000-1999" });
    expect(part.status).toBe(206);
    expect(part.headers.get("content-range")).toBe(`bytes 1000-1999/${picture.length}`);
    expect((await bytes(part)).equals(picture.subarray(1000, 2000))).toBe(true);
    const beyond = await get(path, token, { range: `bytes=${picture.length}-` });
    expect(beyond.status).toBe(416);
    const head = await get(path, token, { method: "HEAD" });
    expect(head.headers.get("content-length")).toBe(String(picture.length));
    expect(await bytes(head)).toHaveLength(0);

    for (const other of [null, stranger, "xoxb-of-another-service"]) {
      for (const asked of [path, `/_matrix/media/v3/download/${media}`]) {
        const answer = await bytes(await get(asked, other));
        expect(answer.includes(picture.subarray(0, 64))).toBe(false);
      }
    }
  });

  it("is downloaded in the clear after a restart", async () => {
    const media = await send("dog.png");
    await daemon.restart();
    const response = await get(`/_matrix/client/v1/media/download/${media}`, token);
    expect((await bytes(response)).equals(picture)).toBe(true);
  });

  it("breaks the transfer where the ciphertext was swapped", async () => {
    const media = await send("swapped.png", Buffer.from("another ciphertext"));
    const response = await get(`/_matrix/client/v1/media/download/${media}`, token);
    await expect(bytes(response)).rejects.toThrow();
  });
});
