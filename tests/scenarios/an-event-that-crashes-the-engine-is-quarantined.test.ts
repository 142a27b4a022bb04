import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { PlainJsSdk } from "../support/peers/plain-js-sdk.ts";
import { restOk } from "../support/rest.ts";

const marker = "poisonpoisonpoison";

describe("an event that crashes the engine", () => {
  let homeserver: TestHomeserver;
  let daemon: Daemon;
  let peer: EncryptedPeer;
  let victim: PlainJsSdk;
  let neighbour: PlainJsSdk;
  let roomId: string;

  beforeAll(async () => {
    homeserver = await startTestHomeserver();
    daemon = await Daemon.start({
      homeserver: homeserver.url,
      section: { HideEncryption: "yes" },
      // One thread: what happens to the victim's engine happens to the neighbour's.
      global: { Threads: "1" },
      environment: { KIRJAVA_POISON: marker },
    });
    peer = await EncryptedPeer.register(homeserver, "peer");
    victim = await PlainJsSdk.start(daemon.url, await homeserver.registerUser("victim"));
    neighbour = await PlainJsSdk.start(daemon.url, await homeserver.registerUser("neighbour"));
    roomId = await peer.createEncryptedRoom([victim.userId, neighbour.userId]);
    await victim.join(roomId);
    await neighbour.join(roomId);
    await peer.waitForMember(roomId, neighbour.userId, "join");
    await peer.waitForMember(roomId, victim.userId, "join");
  });

  afterAll(async () => {
    for (const client of [victim, neighbour, peer]) client.stop();
    await daemon.dispose();
    await homeserver.stop();
  });

  it("is fed alone, set aside and logged, and the feed goes on", async () => {
    const event = { algorithm: "m.olm.v1.curve25519-aes-sha2", ciphertext: {}, sender_key: marker };
    await restOk(`${homeserver.url}/_matrix/client/v3/sendToDevice/m.room.encrypted/poison1`, {
      method: "PUT",
      token: peer.account.accessToken,
      body: { messages: { [victim.userId]: { [victim.deviceId]: event } } },
    });
    await daemon.waitForLog(/quarantined/);
    await peer.sendText(roomId, "after the poison");
    expect((await victim.waitForText("after the poison")).failure).toBeNull();
  });

  it("disturbs no other device", async () => {
    expect((await neighbour.waitForText("after the poison")).failure).toBeNull();
    await neighbour.sendText(roomId, "undisturbed");
    expect((await peer.waitForText("undisturbed")).failure).toBeNull();
  });

  it("is a room event as well, and stays the ciphertext that it is", async () => {
    await peer.request(
      `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.encrypted/poison2`,
      "PUT",
      {
        algorithm: "m.megolm.v1.aes-sha2",
        session_id: "c2Vzc2lvbg",
        ciphertext: "AwgA",
        device_id: peer.deviceId,
        sender_key: marker,
      },
    );
    const seen = await victim.waitForEvent(
      "the poisonous event",
      (event) => event.content["sender_key"] === marker,
    );
    expect(seen.type).toBe("m.room.encrypted");
    await peer.sendText(roomId, "after the second poison");
    expect((await victim.waitForText("after the second poison")).failure).toBeNull();
    expect((await neighbour.waitForText("after the second poison")).failure).toBeNull();
  });
});
