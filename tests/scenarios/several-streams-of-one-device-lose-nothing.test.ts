import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { Interceptor } from "../support/interceptor.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest, PlainSyncer } from "../support/peers/plain-rest.ts";
import { Waiter } from "../support/waiter.ts";

const NOTE = "org.example.note";

interface SyncBody {
  readonly next_batch: string;
  readonly to_device?: { readonly events?: readonly { readonly type: string }[] };
}

let homeserver: TestHomeserver;
let daemon: Daemon;
let wire: Interceptor;
let sender: LightDevice;
let notes: PlainRest;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  wire = await Interceptor.start(homeserver.url);
  daemon = await Daemon.start({ homeserver: wire.url });
  sender = await LightDevice.start(homeserver.url, await homeserver.registerUser("sender"));
  notes = new PlainRest(homeserver.url, sender.account);
});

afterAll(async () => {
  await daemon.dispose();
  await wire.stop();
  await homeserver.stop();
});

async function plainInRoom(): Promise<{ plain: PlainRest; roomId: string }> {
  const plain = new PlainRest(daemon.url, await homeserver.registerUser("plain"));
  const roomId = await plain.createEncryptedRoom([sender.userId]);
  await new PlainRest(homeserver.url, sender.account).join(roomId);
  // The first send makes the device known, and lets our own loop follow it.
  await plain.sendText(roomId, "here I am");
  return { plain, roomId };
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `message ${index}`);
}

function note(to: PlainRest, content: Readonly<Record<string, unknown>>): Promise<void> {
  return notes.sendToDevice(NOTE, { [to.userId]: { [to.account.deviceId]: content } });
}

/** All application to-device events that come until the syncer was shown one with this text. */
async function notesUntil(syncer: PlainSyncer, last: string): Promise<unknown[]> {
  const text = (event: Readonly<Record<string, unknown>>): unknown =>
    (event["content"] as { text?: unknown }).text;
  await syncer.toDevice.find(`the note ${last}`, (event) => text(event) === last);
  return syncer.toDevice.seen.map(text);
}

describe("two clients on one device", () => {
  it("both see every message once, whichever stream its key came through", async () => {
    const { plain, roomId } = await plainInRoom();
    const one = await PlainSyncer.start(plain);
    const two = await PlainSyncer.start(plain);
    const texts = numbered(20);
    for (const text of texts) await sender.sendTextWithNewKey(roomId, [plain.userId], text);
    await one.waitForText(texts.at(-1) ?? "");
    await two.waitForText(texts.at(-1) ?? "");
    await one.stop();
    await two.stop();
    expect(one.texts(roomId)).toEqual(texts);
    expect(two.texts(roomId)).toEqual(texts);
  });

  it("get application to-device messages once between them", async () => {
    const { plain } = await plainInRoom();
    const one = await PlainSyncer.start(plain);
    const two = await PlainSyncer.start(plain);
    const both = new Waiter<unknown>();
    for (const syncer of [one, two]) {
      const push = syncer.toDevice.push.bind(syncer.toDevice);
      syncer.toDevice.push = (event) => {
        push(event);
        both.push((event["content"] as { text?: unknown }).text);
      };
    }
    const texts = numbered(20);
    for (const text of texts) await note(plain, { text });
    for (const text of texts) await both.find(`the note ${text}`, (seen) => seen === text);
    await one.stop();
    await two.stop();
    // A response under way to one may hold what the other is just acknowledging: each client by
    // itself must not see anything twice.
    for (const syncer of [one, two]) {
      const seen = syncer.toDevice.seen.map((event) => JSON.stringify(event));
      expect(seen).toHaveLength(new Set(seen).size);
    }
  });
});

describe("a client beside our own loop", () => {
  it("sees every message once when it syncs now and then only", async () => {
    const { plain, roomId } = await plainInRoom();
    let position = (await plain.sync(null)).nextBatch;
    const seen: unknown[] = [];
    const texts = numbered(24);
    for (const [index, text] of texts.entries()) {
      await sender.sendTextWithNewKey(roomId, [plain.userId], text);
      // The own loop takes over after a while and steps aside again; so do restarts.
      if (index === 8) await daemon.restart();
      if (index === 16) await daemon.crash();
      if (index % 4 !== 3) continue;
      const syncer = await PlainSyncer.start(plain, position);
      await syncer.waitForText(text);
      await syncer.stop();
      position = syncer.position ?? position;
      seen.push(...syncer.texts(roomId));
    }
    expect(seen).toEqual(texts);
  });
});

describe("many to-device messages at once", () => {
  it("bring 250 room keys of 250 sessions, and 250 readable messages", async () => {
    const { plain, roomId } = await plainInRoom();
    const { nextBatch } = await plain.sync(null);
    const texts = numbered(250);
    for (const text of texts) await sender.sendTextWithNewKey(roomId, [plain.userId], text);
    const syncer = await PlainSyncer.start(plain, nextBatch);
    await syncer.waitForText(texts.at(-1) ?? "");
    await syncer.stop();

    // A homeserver shows the last of so many in /sync, and the rest here.
    const seen: unknown[] = [];
    for (let from = ""; seen.length < texts.length;) {
      const query = `dir=b&limit=100${from === "" ? "" : `&from=${encodeURIComponent(from)}`}`;
      const page = await plain.ok("GET", `/rooms/${encodeURIComponent(roomId)}/messages?${query}`);
      const chunk = page["chunk"] as { type: string; content: Record<string, unknown> }[];
      expect(chunk).not.toEqual([]);
      seen.push(...chunk.map(({ type, content }) => content["body"] ?? type));
      from = String(page["end"]);
    }
    expect(seen.slice(0, texts.length)).toEqual(texts.toReversed());
    const synced = syncer.texts(roomId);
    expect(synced).toEqual(texts.slice(-synced.length));
  }, 180_000);

  it("bring 250 messages of an application, in order, none lost and none doubled", async () => {
    const { plain } = await plainInRoom();
    const { nextBatch } = await plain.sync(null);
    const texts = numbered(250);
    for (const text of texts) await note(plain, { text });
    const syncer = await PlainSyncer.start(plain, nextBatch);
    expect(await notesUntil(syncer, texts.at(-1) ?? "")).toEqual(texts);
    await syncer.stop();
  }, 180_000);
});

describe("application to-device messages to a client that does not sync", () => {
  it("are delivered once when it does, though our own loop took them", async () => {
    const { plain } = await plainInRoom();
    const { nextBatch } = await plain.sync(null);
    const positions = new Waiter<string>();
    const stopWatching = wire.on("GET", /\/sync/, async (_request, forward) => {
      const answer = await forward();
      const body = JSON.parse(answer.body.toString()) as SyncBody;
      const events = body.to_device?.events ?? [];
      if (events.some(({ type }) => type === NOTE)) positions.push(body.next_batch);
      return answer;
    });
    for (const [index, text] of ["one", "two", "two", "three"].entries()) {
      await note(plain, { text });
      // Our loop has it on disk once it asks with the position that came with it.
      await positions.find(`note ${index}`, () => positions.seen.length > index);
      const since = encodeURIComponent(positions.seen[index] ?? "");
      await wire.requests.find("its acknowledgement", ({ path }) => path.includes(since));
    }
    stopWatching();
    await daemon.restart();

    const syncer = await PlainSyncer.start(plain, nextBatch);
    const first = await notesUntil(syncer, "three");
    await note(plain, { text: "afterwards" });
    const all = await notesUntil(syncer, "afterwards");
    await syncer.stop();

    expect(first).toEqual(["one", "two", "two", "three"]);
    expect(all).toEqual(["one", "two", "two", "three", "afterwards"]);
  });

  it("are delivered again where the response that held them was never acknowledged", async () => {
    const { plain } = await plainInRoom();
    const { nextBatch } = await plain.sync(null);
    await note(plain, { text: "precious" });
    const lost = await plain.sync(nextBatch, 30_000);
    expect(lost.toDevice).toHaveLength(1);
    await daemon.crash();
    const again = await plain.sync(nextBatch, 30_000);
    expect(again.toDevice).toEqual(lost.toDevice);
    const after = await plain.sync(again.nextBatch);
    expect(after.toDevice).toEqual([]);
  });
});
