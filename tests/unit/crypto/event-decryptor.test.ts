import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Playground, startPlayground } from "../../../playground/index.ts";
import { EventDecryptor } from "../../../proxy/crypto/event-decryptor.ts";
import type { RoomId } from "../../../proxy/matrix/identifiers.ts";
import type { JsonObject } from "../../../proxy/matrix/json.ts";
import { Rig } from "./rig.ts";

const roomId = "!room:playground" as RoomId;

let playground: Playground;
let rig: Rig;
let peer: Awaited<ReturnType<typeof Rig.peer>>;
let count = 0;

beforeEach(async () => {
  playground = await startPlayground({});
  rig = await Rig.start(playground);
  await rig.parts.outgoing.flush();
  peer = await Rig.peer(playground, "peer");
  await (await peer.makeKey(roomId, [rig.client.userId])).release();
  await rig.sync(null);
});
afterEach(async () => {
  await rig.stop();
  await playground.stop();
});

const decryptor = (markDecrypted = true) =>
  new EventDecryptor({ ...rig.parts, trust: "all", markDecrypted });

/** An event of the peer's, as a homeserver shows it. */
async function event(type = "m.room.message", content: JsonObject = { body: "x" }) {
  count += 1;
  return {
    type: "m.room.encrypted",
    event_id: `$${count}`,
    room_id: roomId,
    sender: peer.userId,
    origin_server_ts: Date.now(),
    content: await peer.encrypt(roomId, type, content),
  };
}

/** What one event becomes. */
async function outcome(input: JsonObject, room = roomId, by = decryptor()) {
  const [only] = await by.decrypt([{ roomId: room, event: input }]);
  return only;
}

describe("EventDecryptor", () => {
  it("puts type and content in place, keeps the rest, and marks what it decrypted", async () => {
    const original = { ...(await event()), unsigned: { age: 1, transaction_id: "t" } };
    expect(await outcome(original)).toEqual({
      kind: "decrypted",
      media: [],
      event: {
        ...original,
        type: "m.room.message",
        content: { body: "x" },
        decrypted: true,
        verified: false,
      },
    });
  });

  it("sets no marks where they are switched off", async () => {
    const shown = await outcome(await event(), roomId, decryptor(false));
    expect(shown).toMatchObject({ kind: "decrypted" });
    expect(JSON.stringify(shown)).not.toMatch(/"(decrypted|verified)":/);
  });

  it("gives the same event again as often as it is shown", async () => {
    const original = await event();
    const first = await outcome(original);
    expect(first?.kind).toBe("decrypted");
    expect(await outcome(original)).toEqual(first);
    await rig.restart();
    expect(await outcome(original)).toEqual(first);
  });

  it("refuses an index under another event id: at once, in one response, after a restart", async () => {
    const original = await event();
    const copy = { ...original, event_id: "$copy" };
    const [first, second] = await decryptor().decrypt(
      [original, copy].map((one) => ({ roomId, event: one })),
    );
    expect(first?.kind).toBe("decrypted");
    const reason = "replayed message index";
    expect(second).toEqual({ kind: "failed", event: copy, reason });
    expect((await outcome({ ...original, event_id: "$third" }))?.kind).toBe("failed");
    await rig.restart();
    expect((await outcome(copy))?.kind).toBe("failed");
    expect((await outcome(original))?.kind).toBe("decrypted");
  });

  it("does not decrypt an event that was moved to another room", async () => {
    const original = await event();
    const other = "!other:playground" as RoomId;
    expect((await outcome({ ...original, room_id: other }, other))?.kind).toBe("late");
  });

  it("does not decrypt an event under another sender's name", async () => {
    const shown = await outcome({ ...(await event()), sender: "@mallory:playground" });
    expect(shown?.kind).toBe("failed");
  });

  it("waits for a key that may come, and not for one that was withheld or an event that is damaged", async () => {
    const original = await event();
    const content: JsonObject = { ...original.content, session_id: "unknown" };
    const unknown = { ...original, content };
    expect(await outcome(unknown)).toEqual({
      kind: "late",
      event: unknown,
      sessionId: "unknown",
    });
    const damaged = {
      ...original.content,
      ciphertext: `${String(original.content["ciphertext"]).slice(0, -4)}AAAA`,
    };
    expect((await outcome({ ...original, content: damaged }))?.kind).toBe("failed");
  });

  it.each<[string, (event: JsonObject) => JsonObject]>([
    ["no event id", (one) => without(one, "event_id")],
    ["a number for an event id", (one) => ({ ...one, event_id: 5 })],
    ["no sender", (one) => without(one, "sender")],
    ["a sender that is no user id", (one) => ({ ...one, sender: "nobody" })],
    ["no timestamp", (one) => without(one, "origin_server_ts")],
    ["a timestamp before time began", (one) => ({ ...one, origin_server_ts: -1 })],
    ["a timestamp beyond all integers", (one) => ({ ...one, origin_server_ts: 1e300 })],
    ["a fraction for a timestamp", (one) => ({ ...one, origin_server_ts: 1.5 })],
    ["a text for unsigned", (one) => ({ ...one, unsigned: "x" })],
    ["base64 that is none", (one) => altered(one, { ciphertext: "!" })],
    ["an empty ciphertext", (one) => altered(one, { ciphertext: "" })],
    ["a huge session id", (one) => altered(one, { session_id: "x".repeat(100_000) })],
    ["a number for a device", (one) => altered(one, { device_id: 1, sender_key: {} })],
    ["a list for relations", (one) => altered(one, { "m.relates_to": [] })],
  ])("throws nothing for an event with %s", async (_, change) => {
    const good = await event();
    const outcomes = await decryptor().decrypt(
      [change(good), await event()].map((one) => ({ roomId, event: one })),
    );
    expect(outcomes[0]?.kind).toMatch(/^(failed|late|decrypted)$/);
    expect(outcomes[1]?.kind).toBe("decrypted");
  });

  it("shows an event without an id as ciphertext: nobody could tell its replay", async () => {
    const shown = await outcome(without(await event(), "event_id"));
    expect(shown?.kind).toBe("failed");
  });

  it("says of a room id that is none that the event will never decrypt", async () => {
    const original = await event();
    expect(await outcome(original, "no room" as RoomId)).toEqual({
      kind: "failed",
      event: original,
      reason: "no room id",
    });
  });
});

/** The event with some of its content changed. */
function altered(one: JsonObject, change: JsonObject): JsonObject {
  return { ...one, content: { ...(one["content"] as JsonObject), ...change } };
}

function without(one: JsonObject, name: string): JsonObject {
  return Object.fromEntries(Object.entries(one).filter(([member]) => member !== name));
}
