import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { asRecord } from "../support/json.ts";
import { nextTxn, PlainRest } from "../support/peers/plain-rest.ts";
import { comparable, makeTwinRooms, type TwinRoom, type TwinRooms } from "../support/twin-rooms.ts";

type JsonObject = Readonly<Record<string, unknown>>;

let homeserver: TestHomeserver;
let daemon: Daemon;
let alice: PlainRest;
let bob: PlainRest;
/** Alice without Kirjava in between: how the homeserver itself shows a room in the clear. */
let direct: PlainRest;
let rooms: TwinRooms;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  daemon = await Daemon.start({ homeserver: homeserver.url });
  alice = new PlainRest(daemon.url, await homeserver.registerUser("alice"));
  bob = new PlainRest(daemon.url, await homeserver.registerUser("bob"));
  direct = new PlainRest(homeserver.url, alice.account);
  rooms = await makeTwinRooms(alice, bob);
  // Reading waits for no key: they are fetched before it.
  await alice.sync(null);
});

afterAll(async () => {
  await daemon.dispose();
  await homeserver.stop();
});

const roomPath = ({ roomId }: TwinRoom) => `/rooms/${encodeURIComponent(roomId)}`;
const recordsOf = (value: unknown) => (value as unknown[]).map(asRecord);

/** The messages and the state of a room as `initialSync` shows them. */
function snapshot(answer: JsonObject, room: TwinRoom) {
  const state = comparable(answer["state"], room).map((event) => asRecord(event)["type"]);
  const messages = comparable(asRecord(answer["messages"])["chunk"], room);
  // The one event that makes a room encrypted takes the place of another at the far end.
  return { messages: messages.slice(-10), state: state.toSorted() };
}

describe("GET /rooms/{roomId}/initialSync", () => {
  it("shows the same as in a plain room", async () => {
    const show = async (client: PlainRest, room: TwinRoom) =>
      snapshot(await client.ok("GET", `${roomPath(room)}/initialSync?limit=50`), room);
    expect(await show(alice, rooms.encrypted)).toEqual(await show(direct, rooms.plain));
  });
});

describe("GET /initialSync", () => {
  it("shows the same of every room as in a plain room", async () => {
    const show = async (client: PlainRest, room: TwinRoom) => {
      const answer = await client.ok("GET", "/initialSync?limit=50");
      const found = recordsOf(answer["rooms"]).find((item) => item["room_id"] === room.roomId);
      return snapshot(found ?? {}, room);
    };
    const expected = await show(direct, rooms.plain);
    expect(expected.messages).toContainEqual(
      expect.objectContaining({ content: { msgtype: "m.text", body: "last" } }),
    );
    expect(await show(alice, rooms.plain)).toEqual(expected);
    expect(await show(alice, rooms.encrypted)).toEqual(expected);
  });
});

describe("GET /events", () => {
  it("ends a long poll with what was said, decrypted", async () => {
    const from = (await alice.ok("GET", "/initialSync?limit=1"))["end"] as string;
    const poll = async (client: PlainRest) => {
      for (let position = from; ;) {
        const path = `/events?from=${encodeURIComponent(position)}&timeout=30000`;
        const answer = await client.ok("GET", path);
        const said = recordsOf(answer["chunk"]).filter(({ type }) => type !== "m.presence");
        if (said.length > 0) return said;
        position = answer["end"] as string;
      }
    };
    const shown = poll(alice);
    await bob.sendText(rooms.encrypted.roomId, "into the stream");
    expect(await shown).toContainEqual(
      expect.objectContaining({
        type: "m.room.message",
        decrypted: true,
        content: { msgtype: "m.text", body: "into the stream" },
      }),
    );
    const event = (await poll(direct)).map(({ type }) => type);
    expect(event).toContain("m.room.encrypted");
  });

  it("takes no to-device event away from /sync", async () => {
    const { nextBatch } = await alice.sync(null);
    const messages = { [alice.userId]: { [alice.account.deviceId]: { note: 1 } } };
    await bob.sendToDevice("org.example.note", messages);
    await alice.ok("GET", "/events?timeout=0");
    expect((await alice.sync(nextBatch, 10_000)).toDevice).toMatchObject([
      { content: { note: 1 } },
    ]);
  });
});

describe("GET /notifications", () => {
  it("shows what was said, decrypted", async () => {
    const content = { msgtype: "m.text", body: "to be noticed" };
    for (const room of [rooms.plain, rooms.encrypted]) {
      await bob.ok("PUT", `${roomPath(room)}/send/m.room.message/${nextTxn()}`, content);
    }
    const newestOf = async (room: TwinRoom) => {
      const answer = await alice.ok("GET", "/notifications?limit=50");
      return recordsOf(answer["notifications"]).find(({ room_id: id }) => id === room.roomId);
    };
    // A homeserver counts notifications a little after it has answered the send.
    await expect
      .poll(() => newestOf(rooms.encrypted), { timeout: 20_000 })
      .toMatchObject({ event: { type: "m.room.message", decrypted: true, content } });
    expect(await newestOf(rooms.plain)).toMatchObject({ event: { content } });
  });
});
