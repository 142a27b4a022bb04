import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { asRecord, stringField } from "../support/json.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";
import { restOk } from "../support/rest.ts";
import { comparable, makeTwinRooms, type TwinRoom, type TwinRooms } from "../support/twin-rooms.ts";

type Filter = Readonly<Record<string, unknown>>;

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
});

afterAll(async () => {
  await daemon.dispose();
  await homeserver.stop();
});

function roomPath(room: TwinRoom, rest: string): string {
  return `/rooms/${encodeURIComponent(room.roomId)}${rest}`;
}

function queryOf(values: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(values).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return new URLSearchParams(given).toString();
}

/** All pages of /messages, and the sizes of the pages. */
async function allMessages(
  client: PlainRest,
  room: TwinRoom,
  query: { readonly dir: "b" | "f"; readonly limit: number; readonly filter?: Filter },
) {
  const events: unknown[] = [];
  const sizes: number[] = [];
  let from: string | undefined;
  do {
    const values = {
      dir: query.dir,
      limit: String(query.limit),
      filter: query.filter === undefined ? undefined : JSON.stringify(query.filter),
      from,
    };
    const page = await client.ok("GET", roomPath(room, `/messages?${queryOf(values)}`));
    const chunk = page["chunk"] as readonly unknown[];
    sizes.push(chunk.length);
    events.push(...chunk);
    from = page["end"] as string | undefined;
  } while (from !== undefined && sizes.length < 100);
  return { events: comparable(events, room), sizes };
}

describe("GET /rooms/{roomId}/messages", () => {
  const types = { types: ["m.room.message"] };
  const cases: [string, "b" | "f", number, Filter | undefined][] = [
    ["backwards", "b", 100, undefined],
    ["forwards", "f", 100, undefined],
    ["backwards in pages of 3", "b", 3, undefined],
    ["forwards in pages of 3", "f", 3, undefined],
    ["with types", "b", 100, types],
    ["with types in pages of 2", "b", 2, types],
    ["with a wildcard type", "b", 100, { types: ["org.example.*"] }],
    ["with types that are never encrypted", "b", 100, { types: ["m.reaction", "m.room.topic"] }],
    ["with not_types", "b", 100, { not_types: ["m.room.message", "m.room.member"] }],
    ["with a wildcard not_type", "b", 100, { not_types: ["m.room.*"] }],
    ["with senders", "b", 100, { senders: [] as string[], ...types }],
    ["with contains_url", "b", 100, { contains_url: true }],
    ["with contains_url in pages of 1", "b", 1, { contains_url: true }],
    ["without URLs", "f", 100, { contains_url: false, ...types }],
    ["with lazily loaded members", "b", 100, { lazy_load_members: true, ...types }],
  ];

  it.each(cases)("shows the same as in a plain room: %s", async (_name, dir, limit, filter) => {
    const query = { dir, limit, ...(filter === undefined ? {} : { filter }) };
    const expected = await allMessages(direct, rooms.plain, query);
    expect((await allMessages(alice, rooms.plain, query)).events).toEqual(expected.events);
    const encrypted = await allMessages(alice, rooms.encrypted, query);
    expect(encrypted.events).toEqual(expected.events);
    for (const size of encrypted.sizes) expect(size).toBeLessThanOrEqual(limit);
  });

  it("shows only a sender's events", async () => {
    const query = { dir: "b", limit: 100, filter: { senders: [bob.userId] } } as const;
    const expected = await allMessages(direct, rooms.plain, query);
    expect(expected.events.length).toBeGreaterThan(3);
    expect(await allMessages(alice, rooms.encrypted, query)).toEqual(expected);
  });

  it("fills a page up to its limit although some of it was filtered after decryption", async () => {
    const filter = JSON.stringify({ types: ["org.example.custom"] });
    const query = queryOf({ dir: "b", limit: "1", filter });
    const page = await alice.ok("GET", roomPath(rooms.encrypted, `/messages?${query}`));
    expect(comparable(page["chunk"], rooms.encrypted)).toMatchObject([
      { type: "org.example.custom", event_id: "custom" },
    ]);
  });

  it("answers under r0 as well", async () => {
    const path = roomPath(rooms.encrypted, "/messages?dir=b&limit=1");
    const token = alice.account.accessToken;
    const page = await restOk(`${daemon.url}/_matrix/client/r0${path}`, { token });
    expect(comparable(page["chunk"], rooms.encrypted)).toMatchObject([
      { content: { body: "last" } },
    ]);
  });

  it("marks what was decrypted, and nothing else", async () => {
    const page = await alice.ok("GET", roomPath(rooms.encrypted, "/messages?dir=b&limit=100"));
    const marked = (page["chunk"] as unknown[])
      .map(asRecord)
      .filter((event) => event["decrypted"] === true);
    const ids = marked.map((event) => event["event_id"]);
    const { ids: named } = rooms.encrypted;
    const secret = ["last", "thread", "edit", "image", "custom", "notice", "answer", "hello"];
    expect(ids).toEqual(secret.map((name) => named.get(name)));
    for (const event of marked) expect(event["verified"]).toBeTypeOf("boolean");
  });

  it("refuses a filter that is no JSON as a Matrix error", async () => {
    const answer = await alice.request(
      "GET",
      roomPath(rooms.encrypted, "/messages?dir=b&filter=%7Bno"),
    );
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ errcode: "M_NOT_JSON" });
  });
});

describe("GET /rooms/{roomId}/context/{eventId}", () => {
  const cases: [string, Filter | undefined, number][] = [
    ["without a filter", undefined, 100],
    ["with types", { types: ["m.room.message"] }, 100],
    ["with not_types", { not_types: ["m.room.message"] }, 100],
  ];

  it.each(cases)("shows the same as in a plain room: %s", async (_name, filter, limit) => {
    const show = async (client: PlainRest, room: TwinRoom) => {
      const values = { limit: String(limit), filter: filter && JSON.stringify(filter) };
      const eventId = encodeURIComponent(room.ids.get("custom") ?? "");
      const answer = await client.ok(
        "GET",
        roomPath(room, `/context/${eventId}?${queryOf(values)}`),
      );
      return {
        event: comparable([answer["event"]], room),
        before: comparable(answer["events_before"], room),
        after: comparable(answer["events_after"], room),
      };
    };
    expect(await show(alice, rooms.encrypted)).toEqual(await show(direct, rooms.plain));
  });
});

describe("GET /rooms/{roomId}/event/{eventId}", () => {
  it.each(["hello", "custom", "notice", "image", "reaction"])(
    "shows the same as in a plain room: %s",
    async (name) => {
      const show = async (client: PlainRest, room: TwinRoom) => {
        const eventId = encodeURIComponent(room.ids.get(name) ?? "");
        return comparable([await client.ok("GET", roomPath(room, `/event/${eventId}`))], room);
      };
      expect(await show(alice, rooms.encrypted)).toEqual(await show(direct, rooms.plain));
    },
  );

  it("passes the homeserver's 404 with its fields", async () => {
    const path = roomPath(rooms.encrypted, "/event/%24unknown");
    const [through, straight] = [
      await alice.request("GET", path),
      await direct.request("GET", path),
    ];
    expect(through.status).toBe(404);
    expect([through.status, through.json]).toEqual([straight.status, straight.json]);
  });

  it("passes the homeserver's refusal to whoever is not in the room", async () => {
    const carol = await homeserver.registerUser("carol");
    const path = roomPath(rooms.encrypted, "/messages?dir=b&limit=3");
    const through = await new PlainRest(daemon.url, carol).request("GET", path);
    const straight = await new PlainRest(homeserver.url, carol).request("GET", path);
    expect(through.status).toBe(403);
    expect(through.json).toEqual(straight.json);
  });
});

describe("rooms that are made through Kirjava", () => {
  it("are encrypted from the first send on where initial_state says so", async () => {
    const roomId = await alice.createEncryptedRoom();
    const eventId = await alice.sendText(roomId, "never in the clear");
    const stored = await homeserver.eventContents(roomId);
    expect(stored.find((event) => event.eventId === eventId)?.type).toBe("m.room.encrypted");
    expect(stored.filter((event) => event.json.includes("never in the clear"))).toEqual([]);
  });

  it("show their encryption and their members as the homeserver does", async () => {
    const room = rooms.encrypted;
    for (const path of [
      "/state/m.room.encryption",
      "/state/m.room.encryption/",
      "/joined_members",
    ]) {
      const through = await alice.request("GET", roomPath(room, path));
      const straight = await direct.request("GET", roomPath(room, path));
      expect([through.status, through.text]).toEqual([straight.status, straight.text]);
    }
    const state = await alice.request("GET", roomPath(room, "/state"));
    expect(state.text).toContain("m.room.encryption");
  });

  it("answer with the transaction id that their sender chose", async () => {
    const txnId = `own-${Date.now()}`;
    const eventId = await alice.sendText(rooms.encrypted.roomId, "with a transaction id", txnId);
    const path = roomPath(rooms.encrypted, `/event/${encodeURIComponent(eventId)}`);
    const event = await alice.ok("GET", path);
    expect(asRecord(event["unsigned"])["transaction_id"]).toBe(txnId);
    const again = await alice.sendText(rooms.encrypted.roomId, "with a transaction id", txnId);
    expect(again).toBe(eventId);
    expect(stringField(asRecord(event["content"]), "body")).toBe("with a transaction id");
  });
});
