import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { asRecord, stringField } from "../support/json.ts";
import { nextTxn, PlainRest } from "../support/peers/plain-rest.ts";
import { restOk } from "../support/rest.ts";
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
});

afterAll(async () => {
  await daemon.dispose();
  await homeserver.stop();
});

/** One sync; `filter` is JSON or the id of a stored filter. */
function sync(client: PlainRest, values: Readonly<Record<string, unknown>>): Promise<JsonObject> {
  const query = new URLSearchParams(
    Object.entries({ timeout: 0, ...values }).map(([name, value]): [string, string] => [
      name,
      typeof value === "object" ? JSON.stringify(value) : String(value),
    ]),
  );
  return client.ok("GET", `/sync?${query.toString()}`);
}

function sectionOf(answer: JsonObject, section: string): JsonObject {
  return asRecord(asRecord(answer["rooms"] ?? {})[section] ?? {});
}

function partOf(answer: JsonObject, room: TwinRoom, section = "join"): JsonObject {
  return asRecord(sectionOf(answer, section)[room.roomId]);
}

function timelineOf(answer: JsonObject, room: TwinRoom, section = "join"): unknown[] {
  return asRecord(partOf(answer, room, section)["timeline"])["events"] as unknown[];
}

function shownPart(answer: JsonObject, room: TwinRoom) {
  const part = partOf(answer, room);
  const state = comparable(asRecord(part["state"] ?? {})["events"] ?? [], room);
  const sorted = state.map((event) => JSON.stringify(event)).sort();
  return { timeline: comparable(timelineOf(answer, room), room), state: sorted };
}

const messagesOnly = { room: { timeline: { types: ["m.room.message"] } } };

const FILTERS: [string, JsonObject][] = [
  ["no restriction", { room: { timeline: { limit: 50 } } }],
  ["types: messages only", { room: { timeline: { types: ["m.room.message"], limit: 50 } } }],
  ["types: a wildcard", { room: { timeline: { types: ["org.example.*"], limit: 50 } } }],
  [
    "types: reactions and topic",
    { room: { timeline: { types: ["m.reaction", "m.room.topic"], limit: 50 } } },
  ],
  ["not_types: messages", { room: { timeline: { not_types: ["m.room.message"], limit: 50 } } }],
  ["not_types: ciphertext", { room: { timeline: { not_types: ["m.room.encrypted"], limit: 50 } } }],
  ["not_types: a wildcard", { room: { timeline: { not_types: ["m.room.*"], limit: 50 } } }],
  ["contains_url", { room: { timeline: { contains_url: true, limit: 50 } } }],
  [
    "without URLs",
    { room: { timeline: { contains_url: false, types: ["m.room.message"], limit: 50 } } },
  ],
  [
    "lazily loaded members",
    {
      room: {
        timeline: { limit: 2 },
        state: { lazy_load_members: true, types: ["m.room.member"] },
      },
    },
  ],
  [
    "event_fields",
    {
      event_fields: ["type", "content.body", "event_id", "sender"],
      room: { timeline: { limit: 50 } },
    },
  ],
  ["no state", { room: { state: { types: [] }, timeline: { limit: 50 } } }],
  [
    "state of one type",
    { room: { state: { types: ["m.room.join_rules"] }, timeline: { limit: 1 } } },
  ],
];

describe("GET /sync with a filter", () => {
  it.each(FILTERS)("shows the same as in a plain room: %s", async (_name, filter) => {
    const expected = shownPart(await sync(direct, { filter }), rooms.plain);
    const through = await sync(alice, { filter });
    expect(shownPart(through, rooms.plain)).toEqual(expected);
    expect(shownPart(through, rooms.encrypted)).toEqual(expected);
  });

  it.each(FILTERS)("shows the same with the filter stored: %s", async (_name, filter) => {
    const path = `/user/${encodeURIComponent(alice.userId)}/filter`;
    const id = stringField(await alice.ok("POST", path, filter), "filter_id");
    // The client gets back what it stored, not what Kirjava makes of it.
    expect(await alice.ok("GET", `${path}/${id}`)).toEqual(await direct.ok("GET", `${path}/${id}`));
    const inline = await sync(alice, { filter });
    const stored = await sync(alice, { filter: id });
    expect(shownPart(stored, rooms.encrypted)).toEqual(shownPart(inline, rooms.encrypted));
  });

  it("loses nothing between a limited timeline and /messages", async () => {
    const filter = { room: { timeline: { types: ["m.room.message"], limit: 3 } } };
    const part = partOf(await sync(alice, { filter }), rooms.encrypted);
    const timeline = asRecord(part["timeline"]);
    expect(timeline["limited"]).toBe(true);
    const query = new URLSearchParams({
      dir: "b",
      limit: "100",
      from: stringField(timeline, "prev_batch"),
      filter: JSON.stringify(filter.room.timeline),
    });
    const path = `/rooms/${encodeURIComponent(rooms.encrypted.roomId)}/messages`;
    const page = await alice.ok("GET", `${path}?${query.toString()}`);
    const older = [...(page["chunk"] as unknown[])].reverse();
    const all = comparable([...older, ...(timeline["events"] as unknown[])], rooms.encrypted);
    expect(all.map((event) => asRecord(event)["event_id"])).toEqual([
      "hello",
      "answer",
      "notice",
      "image",
      "edit",
      "thread",
      "last",
    ]);
  });

  it("leaves out the rooms that it does not name", async () => {
    const only = await sync(alice, { filter: { room: { rooms: [rooms.encrypted.roomId] } } });
    expect(Object.keys(sectionOf(only, "join"))).toEqual([rooms.encrypted.roomId]);
    const not = await sync(alice, { filter: { room: { not_rooms: [rooms.encrypted.roomId] } } });
    expect(Object.keys(sectionOf(not, "join"))).not.toContain(rooms.encrypted.roomId);
  });

  it("passes a refusal of the homeserver to an unknown stored filter", async () => {
    const through = await alice.request("GET", "/sync?filter=99999");
    const straight = await direct.request("GET", "/sync?filter=99999");
    expect([through.status, through.json["errcode"]]).toEqual([
      straight.status,
      straight.json["errcode"],
    ]);
  });

  it("does not end a long poll with what the filter leaves out", async () => {
    const room = `/rooms/${encodeURIComponent(rooms.encrypted.roomId)}/send`;
    const filter = { ...messagesOnly, presence: { types: [] } };
    const { next_batch: since } = await sync(alice, { filter });
    const polled = sync(alice, { filter, since, timeout: 30_000 });
    await bob.ok("PUT", `${room}/org.example.custom/${nextTxn()}`, { left: "out" });
    await bob.sendText(rooms.encrypted.roomId, "what was waited for");
    const events = timelineOf(await polled, rooms.encrypted).map(asRecord);
    expect(events.map(({ type, content }) => [type, asRecord(content)["body"]])).toEqual([
      ["m.room.message", "what was waited for"],
    ]);
  });
});

describe("GET /sync", () => {
  it("answers under r0 and api versions as under v3", async () => {
    const token = alice.account.accessToken;
    const filter = encodeURIComponent(JSON.stringify(messagesOnly));
    const answer = await restOk(`${daemon.url}/_matrix/client/r0/sync?filter=${filter}`, { token });
    const bodies = timelineOf(answer, rooms.encrypted).map(
      (event) => asRecord(asRecord(event)["content"])["body"],
    );
    expect(bodies).toContain("last");
  });

  it("takes the access token from the query", async () => {
    const query = new URLSearchParams({
      access_token: alice.account.accessToken,
      filter: JSON.stringify(messagesOnly),
    });
    const answer = await restOk(`${daemon.url}/_matrix/client/v3/sync?${query.toString()}`);
    expect(timelineOf(answer, rooms.encrypted).length).toBeGreaterThan(5);
    const path = `/user/${encodeURIComponent(alice.userId)}/filter`;
    const id = stringField(await alice.ok("POST", path, messagesOnly), "filter_id");
    query.set("filter", id);
    const stored = await restOk(`${daemon.url}/_matrix/client/v3/sync?${query.toString()}`);
    expect(timelineOf(stored, rooms.encrypted).length).toBeGreaterThan(5);
  });

  it("gives the whole state with full_state", async () => {
    const { next_batch: since } = await sync(alice, {});
    const { next_batch: sinceDirect } = await sync(direct, {});
    const through = await sync(alice, { since, full_state: true });
    const expected = shownPart(
      await sync(direct, { since: sinceDirect, full_state: true }),
      rooms.plain,
    );
    expect(expected.state.length).toBeGreaterThan(5);
    expect(shownPart(through, rooms.encrypted).state).toEqual(expected.state);
  });

  it("keeps what belongs to encryption to itself", async () => {
    const answer = await sync(alice, {});
    for (const member of [
      "device_lists",
      "device_one_time_keys_count",
      "device_unused_fallback_key_types",
      "to_device",
    ]) {
      expect(answer).not.toHaveProperty(member);
    }
  });

  it("shows the sender its own transaction id", async () => {
    const { next_batch: since } = await sync(alice, {});
    const txnId = nextTxn();
    const eventId = await alice.sendText(rooms.encrypted.roomId, "my own", txnId);
    const shown = timelineOf(await sync(alice, { since, timeout: 30_000 }), rooms.encrypted)
      .map(asRecord)
      .find((event) => event["event_id"] === eventId);
    expect(shown).toMatchObject({
      content: { body: "my own" },
      unsigned: { transaction_id: txnId },
    });
  });

  it("shows invitations, and decrypts in rooms that were left", async () => {
    const carol = new PlainRest(daemon.url, await homeserver.registerUser("carol"));
    const roomId = await alice.createEncryptedRoom([carol.userId]);
    const room: TwinRoom = { roomId, ids: new Map() };
    const first = await sync(carol, {});
    const invited = asRecord(sectionOf(first, "invite")[roomId]);
    expect(JSON.stringify(invited["invite_state"])).toContain(carol.userId);
    await carol.join(roomId);
    const { next_batch: since } = await sync(carol, { since: first["next_batch"] });
    await alice.sendText(roomId, "before the farewell");
    await carol.leave(roomId);
    const left = await sync(carol, { since, timeout: 30_000 });
    const bodies = timelineOf(left, room, "leave").map(
      (event) => asRecord(asRecord(event)["content"])["body"],
    );
    expect(bodies).toContain("before the farewell");
    const again = await sync(carol, { filter: { room: { include_leave: true } } });
    expect(JSON.stringify(timelineOf(again, room, "leave"))).toContain("before the farewell");
  });

  it("refuses a filter that is no JSON as a Matrix error", async () => {
    const answer = await alice.request("GET", "/sync?filter=%7Bno");
    expect([answer.status, answer.json["errcode"]]).toEqual([400, "M_NOT_JSON"]);
  });
});
