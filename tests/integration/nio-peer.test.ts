import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { PlaygroundHomeserver } from "../support/homeserver/playground-homeserver.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { NioPeer } from "../support/peers/nio-peer.ts";

const HOMESERVERS: [string, () => Promise<TestHomeserver>][] = [
  ["this run's homeserver", startTestHomeserver],
  // libolm must not notice that the playground is no Synapse; only the Synapse runs have a libolm.
  ["the playground", () => PlaygroundHomeserver.start()],
];

describe.each(HOMESERVERS)("the nio peer on %s", (_name, start) => {
  let homeserver: TestHomeserver;

  beforeAll(async () => {
    homeserver = await start();
  });

  afterAll(async () => {
    await homeserver.stop();
  });

  it("exchanges encrypted messages both ways with the js-sdk peer", async () => {
    const alice = await EncryptedPeer.register(homeserver, "alice");
    const nio = await NioPeer.register(homeserver, "nio");
    const roomId = await alice.createEncryptedRoom([nio.userId]);
    await nio.joinEncrypted(roomId);
    await alice.waitForMember(roomId, nio.userId, "join");

    await alice.sendText(roomId, "a secret from the js-sdk");
    const fromSdk = await nio.waitForText("a secret from the js-sdk");
    await nio.sendText(roomId, "a secret from nio");
    const fromNio = await alice.waitForText("a secret from nio");

    expect([fromSdk.encrypted, fromSdk.failure, fromSdk.sender]).toEqual([
      true,
      null,
      alice.userId,
    ]);
    expect([fromNio.encrypted, fromNio.failure, fromNio.sender]).toEqual([true, null, nio.userId]);
    const stored = await homeserver.eventContents(roomId);
    expect(stored.filter((event) => event.json.includes("a secret"))).toEqual([]);
    alice.stop();
    await nio.stop();
  });

  it("reports a message as undecryptable whose key it was never given", async () => {
    const alice = await EncryptedPeer.register(homeserver, "alice");
    const nio = await NioPeer.register(homeserver, "nio");
    const roomId = await alice.createEncryptedRoom([]);
    const eventId = await alice.sendText(roomId, "before the invitation");
    await alice.client.invite(roomId, nio.userId);
    await nio.joinEncrypted(roomId);
    await alice.waitForMember(roomId, nio.userId, "join");
    await alice.sendText(roomId, "after the join");
    await nio.waitForText("after the join");

    const missed = nio.events.seen.filter((event) => event.eventId === eventId);

    expect(missed.map(({ type, failure }) => ({ type, failure }))).toEqual([
      { type: "m.room.encrypted", failure: "no key" },
    ]);
    alice.stop();
    await nio.stop();
  });
});
