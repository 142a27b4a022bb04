import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { asRecord } from "../support/json.ts";
import { nextTxn, PlainRest } from "../support/peers/plain-rest.ts";
import { restOk } from "../support/rest.ts";
import { comparable, makeTwinRooms, type TwinRoom, type TwinRooms } from "../support/twin-rooms.ts";

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
  for (const room of [rooms.plain, rooms.encrypted]) {
    for (const body of ["second in the thread", "third in the thread"]) {
      await send(bob, room, body, "m.room.message", relatedTo(room, "notice"));
    }
    const related = relatedTo(room, "notice");
    await send(alice, room, "custom in the thread", "org.example.custom", related);
  }
  // Reading waits for no key: they are fetched before it.
  await alice.sync(null);
});

afterAll(async () => {
  await daemon.dispose();
  await homeserver.stop();
});

const idOf = (room: TwinRoom, name: string): string => room.ids.get(name) ?? "";

function relatedTo(room: TwinRoom, name: string) {
  return { "m.relates_to": { rel_type: "m.thread", event_id: idOf(room, name) } };
}

/** Sends a message and adds it to the room's names. */
async function send(
  who: PlainRest,
  room: TwinRoom,
  body: string,
  type: string,
  content: Readonly<Record<string, unknown>>,
): Promise<void> {
  const path = `/rooms/${encodeURIComponent(room.roomId)}/send/${type}/${nextTxn()}`;
  const answer = await who.ok("PUT", path, { msgtype: "m.text", body, ...content });
  (room.ids as Map<string, string>).set(body, answer["event_id"] as string);
}

/** Below the version of the API in which relations and threads stand. */
async function get(client: PlainRest, room: TwinRoom, path: string) {
  const url = `${client.url}/_matrix/client/v1/rooms/${encodeURIComponent(room.roomId)}${path}`;
  return restOk(url, { token: client.account.accessToken });
}

async function allRelations(
  client: PlainRest,
  room: TwinRoom,
  query: { readonly of: string; readonly rest: string; readonly limit?: number; dir?: string },
) {
  const events: unknown[] = [];
  const sizes: number[] = [];
  let from: string | undefined;
  do {
    const values = new URLSearchParams(from === undefined ? {} : { from });
    if (query.limit !== undefined) values.set("limit", String(query.limit));
    if (query.dir !== undefined) values.set("dir", query.dir);
    const path = `/relations/${encodeURIComponent(idOf(room, query.of))}${query.rest}`;
    const page = await get(client, room, `${path}?${values.toString()}`);
    const chunk = page["chunk"] as readonly unknown[];
    sizes.push(chunk.length);
    events.push(...chunk);
    from = page["next_batch"] as string | undefined;
  } while (from !== undefined && sizes.length < 20);
  return { events: comparable(events, room), sizes };
}

describe("GET /rooms/{roomId}/relations/{eventId}", () => {
  const cases: [string, Parameters<typeof allRelations>[2], number][] = [
    ["all of an event", { of: "notice", rest: "" }, 4],
    ["in pages of 1", { of: "notice", rest: "", limit: 1 }, 4],
    ["the oldest first", { of: "notice", rest: "", limit: 2, dir: "f" }, 4],
    ["of one relation", { of: "notice", rest: "/m.thread" }, 4],
    ["of a type", { of: "notice", rest: "/m.thread/m.room.message" }, 3],
    ["of a type, in pages of 1", { of: "notice", rest: "/m.thread/m.room.message", limit: 1 }, 3],
    ["of another type", { of: "notice", rest: "/m.thread/org.example.custom", limit: 1 }, 1],
    ["the oldest of a type", { of: "notice", rest: "/m.thread/org.example.custom", dir: "f" }, 1],
    ["the edits", { of: "hello", rest: "/m.replace/m.room.message" }, 1],
    ["the reactions, which are in the clear", { of: "hello", rest: "/m.annotation/m.reaction" }, 1],
    ["none of a type", { of: "notice", rest: "/m.thread/m.room.encrypted" }, 0],
  ];

  it.each(cases)("shows the same as in a plain room: %s", async (_name, query, count) => {
    const expected = await allRelations(direct, rooms.plain, query);
    expect(expected.events).toHaveLength(count);
    expect((await allRelations(alice, rooms.plain, query)).events).toEqual(expected.events);
    const shown = await allRelations(alice, rooms.encrypted, query);
    expect(shown.events).toEqual(expected.events);
    if (query.limit !== undefined)
      expect(Math.max(...shown.sizes)).toBeLessThanOrEqual(query.limit);
  });

  it("fills a page although its newest events are of another type", async () => {
    const query = { of: "notice", rest: "/m.thread/m.room.message", limit: 1 };
    expect((await allRelations(alice, rooms.encrypted, query)).sizes.slice(0, 3)).toEqual([
      1, 1, 1,
    ]);
  });

  it("passes the homeserver's 404 with its fields", async () => {
    const url = (base: string) =>
      `${base}/_matrix/client/v1/rooms/${encodeURIComponent(rooms.encrypted.roomId)}/relations/%24unknown`;
    const headers = { authorization: `Bearer ${alice.account.accessToken}` };
    const through = await fetch(url(daemon.url), { headers });
    const straight = await fetch(url(homeserver.url), { headers });
    expect(through.status).toBe(straight.status);
    expect(await through.json()).toEqual(await straight.json());
  });
});

describe("GET /rooms/{roomId}/threads", () => {
  it.each(["?include=all", "?include=participated", "?limit=1"])(
    "shows roots and their newest events as in a plain room: %s",
    async (query) => {
      const show = async (client: PlainRest, room: TwinRoom) =>
        comparable((await get(client, room, `/threads${query}`))["chunk"], room);
      const expected = await show(direct, rooms.plain);
      expect(expected).toMatchObject([
        {
          content: { body: "notice" },
          unsigned: {
            "m.relations": { "m.thread": { latest_event: { type: "org.example.custom" } } },
          },
        },
      ]);
      expect(await show(alice, rooms.encrypted)).toEqual(expected);
    },
  );
});

describe("what is bundled with events", () => {
  /** The event as every endpoint shows it that bundles; `/sync` does only after a gap. */
  async function everywhere(client: PlainRest, room: TwinRoom, name: string, last: number) {
    const id = encodeURIComponent(idOf(room, name));
    const messages = await client.ok("GET", path(room, "/messages?dir=b&limit=100"));
    const context = await client.ok("GET", path(room, `/context/${id}?limit=100`));
    const single = await client.ok("GET", path(room, `/event/${id}`));
    const sync = await newest(client, room, last);
    const found = (events: unknown) =>
      (events as unknown[]).filter((event) => asRecord(event)["event_id"] === idOf(room, name));
    const lists = [found(messages["chunk"]), [context["event"]], [single], found(sync)];
    return lists.map((events) => comparable(events, room));
  }
  const path = (room: TwinRoom, rest: string) => `/rooms/${encodeURIComponent(room.roomId)}${rest}`;
  async function newest(client: PlainRest, room: TwinRoom, limit: number): Promise<unknown> {
    const filter = JSON.stringify({ room: { rooms: [room.roomId], timeline: { limit } } });
    const answer = await client.ok("GET", `/sync?filter=${encodeURIComponent(filter)}`);
    const joined = asRecord(asRecord(answer["rooms"])["join"]);
    return asRecord(asRecord(joined[room.roomId])["timeline"])["events"];
  }

  it.each(["notice", "hello"])("is shown as in a plain room: with %s", async (name) => {
    const expected = await everywhere(direct, rooms.plain, name, 13);
    for (const shown of expected) {
      expect(shown).toMatchObject([{ unsigned: { "m.relations": expect.anything() as unknown } }]);
    }
    expect(await everywhere(alice, rooms.encrypted, name, 13)).toEqual(expected);
  });

  it("is decrypted although the event itself is in the clear", async () => {
    const roomId = await alice.createRoom({ invite: [bob.userId] });
    const room: TwinRoom = { roomId, ids: new Map() };
    await bob.join(roomId);
    await send(alice, room, "root", "m.room.message", {});
    const content = { algorithm: "m.megolm.v1.aes-sha2" };
    await alice.ok("PUT", path(room, "/state/m.room.encryption/"), content);
    await send(bob, room, "latest", "m.room.message", relatedTo(room, "root"));
    await alice.sync(null);
    for (const shown of await everywhere(alice, room, "root", 3)) {
      const bundled = { "m.thread": { latest_event: { content: { body: "latest" } } } };
      expect(shown).toMatchObject([
        { content: { body: "root" }, unsigned: { "m.relations": bundled } },
      ]);
    }
  });

  it("shows a redacted event with its redaction, in its old place as well", async () => {
    const room = rooms.encrypted;
    await send(alice, room, "to be redacted", "m.room.message", {});
    const redacted = encodeURIComponent(idOf(room, "to be redacted"));
    await alice.ok("PUT", path(room, `/redact/${redacted}/${nextTxn()}`), { reason: "why not" });
    const event = await alice.ok("GET", path(room, `/event/${redacted}`));
    expect(event).toMatchObject({
      content: {},
      unsigned: { redacted_because: { type: "m.room.redaction", content: { reason: "why not" } } },
    });
    expect(event["decrypted"]).toBeUndefined();
    const straight = await direct.ok("GET", path(room, `/event/${redacted}`));
    expect(comparable([event], room)).toEqual(comparable([straight], room));
  });
});
