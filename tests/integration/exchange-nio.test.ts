import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { NioPeer } from "../support/peers/nio-peer.ts";
import { PlainBotSdk } from "../support/peers/plain-bot-sdk.ts";
import { PlainJsSdk } from "../support/peers/plain-js-sdk.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";
import { redactWith, sendWith, type PlainClient } from "../support/plain-client.ts";
import { SAMPLE_EVENTS } from "../support/sample-events.ts";

const CLIENTS = [
  ["matrix-bot-sdk", PlainBotSdk, {}],
  ["matrix-js-sdk without crypto", PlainJsSdk, { HideEncryption: "Yes" }],
] as const;

const words: string[] = [];

function newWord(): string {
  const word = `word${randomBytes(6).toString("hex")}`;
  words.push(word);
  return word;
}

describe.each(CLIENTS)("%s behind Kirjava and nio on libolm", (_name, client, keys) => {
  let homeserver: TestHomeserver;
  let daemon: Daemon;
  let nio: NioPeer;
  let plain: PlainClient;
  let roomId: string;

  beforeAll(async () => {
    homeserver = await startTestHomeserver();
    daemon = await Daemon.start({ homeserver: homeserver.url, section: keys });
    nio = await NioPeer.register(homeserver, "nio");
    plain = await client.start(daemon.url, await homeserver.registerUser("plain"));
    roomId = await new PlainRest(daemon.url, plain.account).createEncryptedRoom([nio.userId]);
    await nio.joinEncrypted(roomId);
  });

  afterAll(async () => {
    plain.stop();
    await nio.stop();
    await daemon.dispose();
    await homeserver.stop();
  });

  const seenByNio = (eventId: string) =>
    nio.waitForEvent(
      "the event at nio",
      (event) => event.eventId === eventId && event.failure === null,
    );
  const seenByPlain = (eventId: string) =>
    plain.waitForEvent("the event at the plain client", (event) => event.eventId === eventId);

  it.each(SAMPLE_EVENTS)("carries $name to nio", async ({ type, content }) => {
    const sent = content(newWord());
    const eventId = await sendWith(plain, roomId, type, sent);
    const seen = await seenByNio(eventId);
    expect(seen).toMatchObject({ sender: plain.userId, type, encrypted: true });
    expect(seen.content).toEqual(sent);
  });

  it.each(SAMPLE_EVENTS)("carries $name to the plain client", async ({ type, content }) => {
    const sent = content(newWord());
    const eventId = await nio.send(roomId, type, sent);
    const seen = await seenByPlain(eventId);
    expect(seen).toMatchObject({ sender: nio.userId, type, content: sent });
    expect(seen.raw).toMatchObject({ decrypted: true, verified: false });
  });

  it("carries edits and replies both ways", async () => {
    const [first, second, third] = [newWord(), newWord(), newWord()];
    const eventId = await nio.sendText(roomId, first);
    await seenByPlain(eventId);
    const reply = {
      msgtype: "m.text",
      body: second,
      "m.relates_to": { "m.in_reply_to": { event_id: eventId } },
    };
    const replyId = await sendWith(plain, roomId, "m.room.message", reply);
    expect((await seenByNio(replyId)).content).toEqual(reply);
    const edit = {
      msgtype: "m.text",
      body: `* ${third}`,
      "m.new_content": { msgtype: "m.text", body: third },
      "m.relates_to": { rel_type: "m.replace", event_id: eventId },
    };
    const editId = await nio.send(roomId, "m.room.message", edit);
    expect((await seenByPlain(editId)).content).toEqual(edit);
  });

  it("carries reactions and redactions both ways", async () => {
    const fromNio = await nio.sendText(roomId, newWord());
    const fromPlain = await sendWith(plain, roomId, "m.room.message", {
      msgtype: "m.text",
      body: newWord(),
    });
    await seenByPlain(fromNio);
    await seenByNio(fromPlain);
    const react = (eventId: string) => ({
      "m.relates_to": { rel_type: "m.annotation", event_id: eventId, key: "👍" },
    });
    const byPlain = await sendWith(plain, roomId, "m.reaction", react(fromNio));
    expect((await seenByNio(byPlain)).content).toEqual(react(fromNio));
    const byNio = await nio.send(roomId, "m.reaction", react(fromPlain));
    expect((await seenByPlain(byNio)).content).toEqual(react(fromPlain));
    const redactionId = await redactWith(plain, roomId, fromPlain);
    expect(await seenByNio(redactionId)).toMatchObject({ type: "m.room.redaction" });
  });

  it("keeps every text from the homeserver", async () => {
    const database = (await homeserver.eventContents()).map(({ json }) => json).join("\n");
    expect(database).toContain("m.megolm.v1.aes-sha2");
    expect(words.filter((word) => database.includes(word))).toEqual([]);
  });
});
