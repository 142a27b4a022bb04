import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { Interceptor } from "../support/interceptor.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainBotSdk } from "../support/peers/plain-bot-sdk.ts";
import { PlainJsSdk } from "../support/peers/plain-js-sdk.ts";
import { PlainRest, PlainSyncer } from "../support/peers/plain-rest.ts";

let homeserver: TestHomeserver;
let sender: LightDevice;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  sender = await LightDevice.start(homeserver.url, await homeserver.registerUser("sender"));
});

afterAll(async () => {
  await homeserver.stop();
});

/** A plain user behind the daemon, in two encrypted rooms with the sender. */
async function twoRooms(
  daemon: Daemon,
): Promise<{ plain: PlainRest; late: string; other: string }> {
  const plain = new PlainRest(daemon.url, await homeserver.registerUser("plain"));
  const create = async (): Promise<string> => {
    const roomId = await plain.createEncryptedRoom([sender.userId]);
    await new PlainRest(homeserver.url, sender.account).join(roomId);
    return roomId;
  };
  const rooms = { plain, late: await create(), other: await create() };
  // The device has keys from its first sync on: before it nobody could share one with it.
  await plain.sync(null);
  return rooms;
}

describe("while a key is missing", () => {
  let daemon: Daemon;

  beforeAll(async () => {
    // Nothing in these tests comes by waiting: a time-out would show as a raw event.
    const section = { LateKeyTimeout: "10m", HideEncryption: "yes" };
    daemon = await Daemon.start({ homeserver: homeserver.url, section });
  });

  afterAll(async () => {
    await daemon.dispose();
  });

  it("releases everything else of the same response at once, and the message with its key", async () => {
    const { plain, late, other } = await twoRooms(daemon);
    const { nextBatch } = await plain.sync(null);
    await sender.sendTextWithNewKey(other, [plain.userId], "in the other room");
    const key = await sender.makeKey(late, [plain.userId]);
    const eventId = await sender.sendText(late, "the late one");
    await new PlainRest(homeserver.url, sender.account).sendToDevice("org.example.note", {
      [plain.userId]: { [plain.account.deviceId]: { note: 1 } },
    });

    const first = await plain.sync(nextBatch, 30_000);
    expect(first.events.map(({ content }) => content["body"])).toEqual(["in the other room"]);
    expect(first.toDevice.map(({ type }) => type)).toEqual(["org.example.note"]);

    const poll = plain.sync(first.nextBatch, 30_000);
    await key.release();
    const second = await poll;
    expect(second.events.map((event) => [event.eventId, event.content["body"]])).toEqual([
      [eventId, "the late one"],
    ]);
    expect(second.events[0]?.raw["decrypted"]).toBe(true);
    expect((await plain.sync(second.nextBatch)).events).toEqual([]);
  });

  it("keeps later events of the room behind it, in order, and holds no other room", async () => {
    const { plain, late, other } = await twoRooms(daemon);
    const syncer = await PlainSyncer.start(plain);
    const key = await sender.makeKey(late, [plain.userId]);
    await sender.sendText(late, "first, late");
    await sender.sendTextWithNewKey(late, [plain.userId], "second, readable");
    const topic = `/rooms/${encodeURIComponent(late)}/state/m.room.topic/`;
    await plain.ok("PUT", topic, { topic: "third, never encrypted" });
    await sender.sendTextWithNewKey(late, [plain.userId], "fourth, readable");
    for (const index of [1, 2, 3]) {
      await sender.sendTextWithNewKey(other, [plain.userId], `other ${index}`);
      await syncer.waitForText(`other ${index}`);
    }
    expect(syncer.texts(late)).toEqual([]);
    expect(syncer.texts(other)).toEqual(["other 1", "other 2", "other 3"]);

    await key.release();
    await syncer.waitForText("fourth, readable");
    await syncer.stop();
    const shown = syncer.events.seen.filter(({ roomId }) => roomId === late);
    expect(shown.map(({ content }) => content["body"] ?? content["topic"])).toEqual([
      "first, late",
      "second, readable",
      "third, never encrypted",
      "fourth, readable",
    ]);
  });

  it("shows the ciphertext in /messages, /context and /event, which wait for nothing", async () => {
    const { plain, late } = await twoRooms(daemon);
    const { nextBatch } = await plain.sync(null);
    const key = await sender.makeKey(late, [plain.userId]);
    const eventId = await sender.sendText(late, "not yet");
    const room = `/rooms/${encodeURIComponent(late)}`;
    const id = encodeURIComponent(eventId);
    const read = async (): Promise<string[]> => {
      const messages = await plain.ok("GET", `${room}/messages?dir=b&limit=1`);
      const context = await plain.ok("GET", `${room}/context/${id}?limit=0`);
      const event = await plain.ok("GET", `${room}/event/${id}`);
      return [(messages["chunk"] as unknown[])[0], context["event"], event].map(
        (item) => (item as { type: string }).type,
      );
    };

    expect(await read()).toEqual(Array(3).fill("m.room.encrypted"));

    await key.release();
    // Not an initial sync: by default Synapse would answer with what it said before.
    await plain.sync(nextBatch);
    expect(await read()).toEqual(Array(3).fill("m.room.message"));
  });

  it("shows it in matrix-js-sdk's timeline once and decrypted, also over a restart", async () => {
    const { plain, late, other } = await twoRooms(daemon);
    const client = await PlainJsSdk.start(daemon.url, plain.account);
    const key = await sender.makeKey(late, [plain.userId]);
    const eventId = await sender.sendText(late, "the late one");
    await sender.sendTextWithNewKey(other, [plain.userId], "a sign");
    await client.waitForText("a sign");
    expect(client.timeline(late).map((event) => event.eventId)).not.toContain(eventId);

    await daemon.crash();
    await key.release();
    const seen = await client.waitForText("the late one");
    await sender.sendTextWithNewKey(late, [plain.userId], "afterwards");
    await client.waitForText("afterwards");
    client.stop();

    expect(seen.eventId).toBe(eventId);
    const texts = client.timeline(late).filter(({ type }) => type === "m.room.message");
    expect(texts.map(({ content }) => content["body"])).toEqual(["the late one", "afterwards"]);
    expect(client.timeline(late).map(({ type }) => type)).not.toContain("m.room.encrypted");
  });

  it("calls a bot's handler once, also when the response that carried it was lost", async () => {
    const { plain, late, other } = await twoRooms(daemon);
    const wire = await Interceptor.start(daemon.url);
    const bot = await PlainBotSdk.start(wire.url, plain.account);
    const key = await sender.makeKey(late, [plain.userId]);
    const eventId = await sender.sendText(late, "the late one");
    await sender.sendTextWithNewKey(other, [plain.userId], "a sign");
    await bot.waitForText("a sign");

    let lost = 0;
    wire.on("GET", /\/sync/, async (_request, forward) => {
      const answer = await forward();
      if (lost > 0 || !answer.body.includes("the late one")) return answer;
      lost += 1;
      return "drop";
    });
    await key.release();
    await bot.waitForText("the late one");
    await sender.sendTextWithNewKey(late, [plain.userId], "afterwards");
    await bot.waitForText("afterwards");
    bot.stop();
    await wire.stop();

    expect(lost).toBe(1);
    const handled = bot.events.seen.filter((event) => event.eventId === eventId);
    expect(handled.map(({ type, content }) => [type, content["body"]])).toEqual([
      ["m.room.message", "the late one"],
    ]);
  });
});

describe("when the key does not come within LateKeyTimeout", () => {
  let daemon: Daemon;

  beforeAll(async () => {
    daemon = await Daemon.start({ homeserver: homeserver.url, section: { LateKeyTimeout: "2s" } });
  });

  afterAll(async () => {
    await daemon.dispose();
  });

  it("gives the event as it is, what is behind it, and the plaintext when the key does come", async () => {
    const { plain, late } = await twoRooms(daemon);
    const bot = await PlainBotSdk.start(daemon.url, plain.account);
    const key = await sender.makeKey(late, [plain.userId]);
    const eventId = await sender.sendText(late, "much too late");
    await sender.sendTextWithNewKey(late, [plain.userId], "behind it");

    await bot.waitForEvent("the raw event", (event) => event.eventId === eventId);
    await bot.waitForText("behind it");
    await key.release();
    await bot.waitForText("much too late");
    bot.stop();

    const sights = bot.events.seen.filter((event) => event.eventId === eventId);
    expect(sights.map(({ type }) => type)).toEqual(["m.room.encrypted", "m.room.message"]);
  });
});
