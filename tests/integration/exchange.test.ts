import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { asRecord } from "../support/json.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { PlainBotSdk } from "../support/peers/plain-bot-sdk.ts";
import { PlainJsSdk } from "../support/peers/plain-js-sdk.ts";
import { joinWith, redactWith, sendWith, type PlainClient } from "../support/plain-client.ts";
import { SAMPLE_EVENTS } from "../support/sample-events.ts";

const CLIENTS = [
  ["matrix-bot-sdk", PlainBotSdk, {}],
  // It refuses to send to a room of which it sees that it is encrypted.
  ["matrix-js-sdk without crypto", PlainJsSdk, { HideEncryption: "Yes" }],
] as const;

/** Every word that went through an encrypted room: none may be found at the homeserver. */
const words: string[] = [];

function newWord(): string {
  const word = `word${randomBytes(6).toString("hex")}`;
  words.push(word);
  return word;
}

const text = (body: string) => ({ msgtype: "m.text", body });
const edit = (eventId: string, body: string) => ({
  ...text(`* ${body}`),
  "m.new_content": text(body),
  "m.relates_to": { rel_type: "m.replace", event_id: eventId },
});
const reply = (eventId: string, body: string) => ({
  ...text(body),
  "m.relates_to": { "m.in_reply_to": { event_id: eventId } },
});
const reaction = (eventId: string, key: string) => ({
  "m.relates_to": { rel_type: "m.annotation", event_id: eventId, key },
});

describe.each(CLIENTS)(
  "%s behind Kirjava and an encrypted matrix-js-sdk",
  (_name, client, keys) => {
    let homeserver: TestHomeserver;
    let daemon: Daemon;
    let peer: EncryptedPeer;
    let plain: PlainClient;
    let roomId: string;

    beforeAll(async () => {
      homeserver = await startTestHomeserver();
      daemon = await Daemon.start({ homeserver: homeserver.url, section: keys });
      peer = await EncryptedPeer.register(homeserver, "peer");
      plain = await client.start(daemon.url, await homeserver.registerUser("plain"));
      roomId = await peer.createEncryptedRoom([plain.userId]);
      await joinWith(plain, roomId);
      await peer.waitForMember(roomId, plain.userId, "join");
    });

    afterAll(async () => {
      plain.stop();
      peer.stop();
      await daemon.dispose();
      await homeserver.stop();
    });

    const stored = async (eventId: string) => {
      const events = await homeserver.eventContents(roomId);
      const found = events.find((event) => event.eventId === eventId);
      if (found === undefined) throw new Error(`expected ${eventId} at the homeserver`);
      return { type: found.type, content: asRecord(asRecord(JSON.parse(found.json))["content"]) };
    };
    const seenByPeer = (eventId: string) =>
      peer.waitForEvent(
        "the event at the peer",
        (event) => event.eventId === eventId && event.type !== "m.room.encrypted",
      );
    const seenByPlain = (eventId: string) =>
      plain.waitForEvent("the event at the plain client", (event) => event.eventId === eventId);

    it.each(SAMPLE_EVENTS)("carries $name to the peer", async ({ type, content }) => {
      const sent = content(newWord());
      const eventId = await sendWith(plain, roomId, type, sent);
      const seen = await seenByPeer(eventId);
      expect(seen).toMatchObject({ sender: plain.userId, type, encrypted: true, failure: null });
      expect(seen.content).toEqual(sent);
      expect((await stored(eventId)).type).toBe("m.room.encrypted");
    });

    it.each(SAMPLE_EVENTS)("carries $name to the plain client", async ({ type, content }) => {
      const sent = content(newWord());
      const eventId = await peer.send(roomId, type, sent);
      const seen = await seenByPlain(eventId);
      expect(seen).toMatchObject({ sender: peer.userId, type, content: sent });
      expect(seen.raw).toMatchObject({ decrypted: true, verified: false });
      expect((await stored(eventId)).type).toBe("m.room.encrypted");
    });

    it("carries an edit to the peer, which shows the new text", async () => {
      const [before, after] = [newWord(), newWord()];
      const eventId = await sendWith(plain, roomId, "m.room.message", text(before));
      await seenByPeer(eventId);
      const editId = await sendWith(plain, roomId, "m.room.message", edit(eventId, after));
      await peer.waitForState(
        "the edit to take effect",
        () => peer.view(roomId, eventId)?.getContent()["body"] === after,
      );
      const { type, content } = await stored(editId);
      expect(type).toBe("m.room.encrypted");
      expect(content["m.relates_to"]).toEqual({ rel_type: "m.replace", event_id: eventId });
    });

    it("carries an edit to the plain client", async () => {
      const [before, after] = [newWord(), newWord()];
      const eventId = await peer.sendText(roomId, before);
      const sent = edit(eventId, after);
      const editId = await peer.send(roomId, "m.room.message", sent);
      const seen = await seenByPlain(editId);
      expect(seen.content).toEqual(sent);
      if (plain instanceof PlainJsSdk) {
        const view = plain;
        await view.waitForState(
          "the edit to take effect",
          () => view.view(roomId, eventId)?.getContent()["body"] === after,
        );
      }
    });

    it("carries a reply to the peer with its relation in the clear", async () => {
      const eventId = await peer.sendText(roomId, newWord());
      await seenByPlain(eventId);
      const sent = reply(eventId, newWord());
      const replyId = await sendWith(plain, roomId, "m.room.message", sent);
      const seen = await seenByPeer(replyId);
      expect(seen.content).toMatchObject({ body: sent.body });
      expect(peer.view(roomId, replyId)?.getWireContent()["m.relates_to"]).toEqual(
        sent["m.relates_to"],
      );
      expect((await stored(replyId)).content["m.relates_to"]).toEqual(sent["m.relates_to"]);
    });

    it("carries a reply to the plain client", async () => {
      const eventId = await sendWith(plain, roomId, "m.room.message", text(newWord()));
      await seenByPeer(eventId);
      const sent = reply(eventId, newWord());
      const replyId = await peer.send(roomId, "m.room.message", sent);
      expect((await seenByPlain(replyId)).content).toEqual(sent);
    });

    it("carries a reaction to the peer, in the clear as other clients send it", async () => {
      const eventId = await peer.sendText(roomId, newWord());
      const sent = reaction(eventId, "👍");
      const reactionId = await sendWith(plain, roomId, "m.reaction", sent);
      expect(await seenByPeer(reactionId)).toMatchObject({ type: "m.reaction", encrypted: false });
      const relating = peer.relating(roomId, eventId, "m.annotation", "m.reaction");
      expect(relating.map((event) => event.getId())).toEqual([reactionId]);
      expect(await stored(reactionId)).toEqual({ type: "m.reaction", content: sent });
    });

    it("carries a reaction to the plain client", async () => {
      const eventId = await sendWith(plain, roomId, "m.room.message", text(newWord()));
      await seenByPeer(eventId);
      const reactionId = await peer.send(roomId, "m.reaction", reaction(eventId, "🎉"));
      const seen = await seenByPlain(reactionId);
      expect(seen.content).toEqual(reaction(eventId, "🎉"));
      expect(seen.raw).not.toHaveProperty("decrypted");
      if (plain instanceof PlainJsSdk) {
        const relating = plain.relating(roomId, eventId, "m.annotation", "m.reaction");
        expect(relating.map((event) => event.getId())).toEqual([reactionId]);
      }
    });

    it("redacts at the peer what the plain client redacts", async () => {
      const eventId = await sendWith(plain, roomId, "m.room.message", text(newWord()));
      await seenByPeer(eventId);
      await redactWith(plain, roomId, eventId);
      await peer.waitForState(
        "the event to be redacted",
        () => peer.view(roomId, eventId)?.isRedacted() === true,
      );
      expect(peer.view(roomId, eventId)?.getContent()).toEqual({});
    });

    it("redacts at the plain client what the peer redacts", async () => {
      const eventId = await peer.sendText(roomId, newWord());
      await seenByPlain(eventId);
      const { event_id: redactionId } = await peer.client.redactEvent(roomId, eventId);
      expect((await seenByPlain(redactionId)).type).toBe("m.room.redaction");
      if (plain instanceof PlainJsSdk) {
        const view = plain;
        await view.waitForState(
          "the event to be redacted",
          () => view.view(roomId, eventId)?.isRedacted() === true,
        );
      }
    });

    it("answers 413 for what is too large once it is encrypted", async () => {
      const sent = text(`${newWord()} ${"x".repeat(60_000)}`);
      const refused = sendWith(plain, roomId, "m.room.message", sent);
      await expect(refused).rejects.toMatchObject(
        plain instanceof PlainJsSdk
          ? { errcode: "M_TOO_LARGE", httpStatus: 413 }
          : { errcode: "M_TOO_LARGE" },
      );
    });

    it("keeps every text from the homeserver", async () => {
      const all = await homeserver.eventContents();
      const database = all.map(({ json }) => json).join("\n");
      expect(database).toContain("m.megolm.v1.aes-sha2");
      expect(words.filter((word) => database.includes(word))).toEqual([]);
      const types = new Set((await homeserver.eventContents(roomId)).map(({ type }) => type));
      expect(types).not.toContain("m.room.message");
      expect(types).not.toContain("org.example.measurement");
    });
  },
);
