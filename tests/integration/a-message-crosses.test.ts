import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { PlainJsSdk } from "../support/peers/plain-js-sdk.ts";

describe("a message crosses", () => {
  let homeserver: TestHomeserver;
  let daemon: Daemon;
  let peer: EncryptedPeer;
  let plain: PlainJsSdk;
  let roomId: string;

  beforeAll(async () => {
    homeserver = await startTestHomeserver();
    // matrix-js-sdk refuses to send to a room that it sees encrypted.
    const section = { HideEncryption: "yes" };
    daemon = await Daemon.start({ homeserver: homeserver.url, section });
    peer = await EncryptedPeer.register(homeserver, "peer");
    plain = await PlainJsSdk.start(daemon.url, await homeserver.registerUser("plain"));
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

  it("from the plain client to the encrypted one", async () => {
    await plain.sendText(roomId, "out of the clear");
    const seen = await peer.waitForText("out of the clear");
    expect(seen.encrypted).toBe(true);
    expect(seen.failure).toBeNull();
  });

  it("from the encrypted client to the plain one", async () => {
    await peer.sendText(roomId, "into the clear");
    const seen = await plain.waitForText("into the clear");
    expect(seen.encrypted).toBe(false);
    expect(seen.raw["decrypted"]).toBe(true);
  });

  it("leaves only ciphertext at the homeserver", async () => {
    const stored = await homeserver.eventContents(roomId);
    const text = stored.map(({ json }) => json).join("\n");
    expect(text).toContain("m.megolm.v1.aes-sha2");
    expect(text).not.toContain("the clear");
    expect(stored.filter(({ type }) => type === "m.room.message")).toEqual([]);
  });
});
