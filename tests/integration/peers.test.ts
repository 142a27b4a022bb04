import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { PlainBotSdk } from "../support/peers/plain-bot-sdk.ts";
import { PlainJsSdk } from "../support/peers/plain-js-sdk.ts";

let homeserver: TestHomeserver;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
});

afterAll(async () => {
  await homeserver.stop();
});

describe("the encrypted js-sdk peer", () => {
  it("reads what another encrypted peer writes while the homeserver holds ciphertext only", async () => {
    const alice = await EncryptedPeer.register(homeserver, "alice");
    const bob = await EncryptedPeer.register(homeserver, "bob");
    const roomId = await alice.createEncryptedRoom([bob.userId]);
    await bob.joinEncrypted(roomId);
    await alice.waitForMember(roomId, bob.userId, "join");

    await alice.sendText(roomId, "the first secret");
    const first = await bob.waitForText("the first secret");
    await bob.sendText(roomId, "the second secret");
    const second = await alice.waitForText("the second secret");

    expect([first.encrypted, first.failure, first.sender]).toEqual([true, null, alice.userId]);
    expect([second.encrypted, second.failure, second.sender]).toEqual([true, null, bob.userId]);
    const stored = await homeserver.eventContents(roomId);
    expect(stored.filter((event) => event.type === "m.room.encrypted")).toHaveLength(2);
    expect(stored.filter((event) => event.json.includes("secret"))).toEqual([]);
    alice.stop();
    bob.stop();
  });
});

describe("the plain js-sdk client", () => {
  it("talks in a room that is not encrypted, where the homeserver holds the text", async () => {
    const alice = await PlainJsSdk.start(homeserver.url, await homeserver.registerUser("alice"));
    const bob = await PlainJsSdk.start(homeserver.url, await homeserver.registerUser("bob"));
    const roomId = await alice.createRoom({ invite: [bob.userId] });
    await bob.join(roomId);

    const eventId = await alice.sendText(roomId, "an open word");
    const seen = await bob.waitForText("an open word");

    expect(seen).toMatchObject({ eventId, sender: alice.userId, encrypted: false, failure: null });
    expect(bob.timeline(roomId).at(-1)?.eventId).toBe(eventId);
    const stored = await homeserver.eventContents(roomId);
    expect(stored.filter((event) => event.json.includes("an open word"))).toHaveLength(1);
    alice.stop();
    bob.stop();
  });
});

describe("the plain bot-sdk client", () => {
  it("answers an invitation and a message in a room that is not encrypted", async () => {
    const alice = await PlainJsSdk.start(homeserver.url, await homeserver.registerUser("alice"));
    const bot = await PlainBotSdk.start(homeserver.url, await homeserver.registerUser("bot"));
    const roomId = await alice.createRoom({ invite: [bot.userId] });
    await bot.client.joinRoom(await bot.invites.find("an invitation", (room) => room === roomId));

    await alice.sendText(roomId, "are you there");
    const question = await bot.waitForText("are you there");
    const answerId = await bot.sendText(roomId, "I am");
    const answer = await alice.waitForText("I am");

    expect(question.sender).toBe(alice.userId);
    expect(answer).toMatchObject({ eventId: answerId, sender: bot.userId });
    alice.stop();
    bot.stop();
  });

  it("sees ciphertext only where it talks to the homeserver directly", async () => {
    const alice = await EncryptedPeer.register(homeserver, "alice");
    const bot = await PlainBotSdk.start(homeserver.url, await homeserver.registerUser("bot"));
    const roomId = await alice.createEncryptedRoom([bot.userId]);
    await bot.client.joinRoom(roomId);
    await alice.waitForMember(roomId, bot.userId, "join");

    const eventId = await alice.sendText(roomId, "not for the bot");
    const seen = await bot.waitForEvent("the message", (event) => event.eventId === eventId);

    expect(seen.type).toBe("m.room.encrypted");
    expect(JSON.stringify(seen.raw)).not.toContain("not for the bot");
    alice.stop();
    bot.stop();
  });
});
