import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { PlainBotSdk } from "../support/peers/plain-bot-sdk.ts";
import { PlainJsSdk } from "../support/peers/plain-js-sdk.ts";

let homeserver: TestHomeserver;
let daemon: Daemon;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
});

afterAll(async () => {
  await homeserver.stop();
});

afterEach(async () => {
  await daemon.dispose();
});

const CLIENTS = [
  ["matrix-bot-sdk", PlainBotSdk, {}],
  // Without crypto it refuses to send to a room of which it sees that it is encrypted.
  ["matrix-js-sdk without crypto", PlainJsSdk, { HideEncryption: "Yes" }],
] as const;

describe.each(CLIENTS)("a plain client on %s behind Kirjava", (_name, client, section) => {
  it("reads and writes in an encrypted room while the homeserver holds ciphertext only", async () => {
    daemon = await Daemon.start({ homeserver: homeserver.url, section });
    const alice = await EncryptedPeer.register(homeserver, "alice");
    const plain = await client.start(daemon.url, await homeserver.registerUser("plain"));
    const roomId = await alice.createEncryptedRoom([plain.userId]);
    await plain.client.joinRoom(roomId);
    await alice.waitForMember(roomId, plain.userId, "join");

    await alice.sendText(roomId, "a secret for the plain client");
    const read = await plain.waitForText("a secret for the plain client");
    const answerId = await plain.sendText(roomId, "a secret of the plain client");
    const answer = await alice.waitForText("a secret of the plain client");

    expect(read.sender).toBe(alice.userId);
    expect(answer).toMatchObject({ eventId: answerId, encrypted: true, failure: null });
    const stored = await homeserver.eventContents(roomId);
    expect(stored.filter((event) => event.type === "m.room.encrypted")).toHaveLength(2);
    expect(stored.filter((event) => event.json.includes("a secret"))).toEqual([]);
    alice.stop();
    plain.stop();
  });
});
