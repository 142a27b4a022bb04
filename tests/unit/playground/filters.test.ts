import { describe, expect, it } from "vitest";
import type { JsonObject } from "../../../playground/json.ts";
import { at, listAt } from "./api.ts";
import type { Client } from "./api.ts";
import { Fixture } from "./fixture.ts";

describe("filters", () => {
  const fixture = new Fixture();

  async function synced(client: Client, filter: unknown, since?: string): Promise<unknown> {
    const query = `&filter=${encodeURIComponent(JSON.stringify(filter))}`;
    return client.sync(since, query);
  }

  const timeline = (response: unknown, roomId: string): unknown[] =>
    listAt(response, "rooms", "join", roomId, "timeline", "events");
  const types = (events: unknown[]): unknown[] => events.map((event) => at(event, "type"));

  it("choose by type, with * at the end", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    await alice.put(`rooms/${roomId}/send/org.a.one/1`);
    await alice.put(`rooms/${roomId}/send/org.a.two/2`);
    await alice.put(`rooms/${roomId}/send/org.b/3`);
    const room = (part: unknown): unknown => ({ room: { timeline: part } });
    const some = await synced(alice, room({ types: ["org.a.*"] }));
    expect(types(timeline(some, roomId))).toEqual(["org.a.one", "org.a.two"]);
    const not = await synced(alice, room({ types: ["org.*"], not_types: ["org.a.one"] }));
    expect(types(timeline(not, roomId))).toEqual(["org.a.two", "org.b"]);
    const none = await synced(alice, room({ types: [] }));
    expect(timeline(none, roomId)).toEqual([]);
  });

  it("choose by sender, limit and url", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const roomId = await fixture.room(alice, bob);
    await alice.say(roomId, "a");
    await bob.say(roomId, "b");
    await bob.put(`rooms/${roomId}/send/m.room.message/u`, {
      msgtype: "m.file",
      body: "u",
      url: "mxc://x/y",
    });
    const read = async (part: JsonObject): Promise<unknown[]> => {
      const filter = { room: { timeline: { types: ["m.room.message"], ...part } } };
      const events = timeline(await synced(alice, filter), roomId);
      return events.map((event) => at(event, "content", "body"));
    };
    expect(await read({ senders: [bob.userId] })).toEqual(["b", "u"]);
    expect(await read({ not_senders: [bob.userId] })).toEqual(["a"]);
    expect(await read({ contains_url: true })).toEqual(["u"]);
    expect(await read({ contains_url: false })).toEqual(["a", "b"]);
    expect(await read({ limit: 1 })).toEqual(["u"]);
  });

  it("choose rooms, at the top and in each part", async () => {
    const alice = await fixture.user("alice");
    const one = await fixture.room(alice);
    const two = await fixture.room(alice);
    const joined = (response: unknown): string[] =>
      Object.keys(Object(at(response, "rooms", "join")) as object);
    expect(joined(await synced(alice, { room: { rooms: [one] } }))).toEqual([one]);
    expect(joined(await synced(alice, { room: { not_rooms: [one] } }))).toEqual([two]);
    const part = await synced(alice, { room: { timeline: { not_rooms: [one] } } });
    expect(timeline(part, one)).toEqual([]);
    expect(timeline(part, two)).not.toEqual([]);
  });

  it("load members lazily: senders only", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const carol = await fixture.user("carol");
    const roomId = await fixture.room(alice, bob, carol);
    await bob.say(roomId, "hello");
    const filter = { room: { state: { lazy_load_members: true }, timeline: { limit: 1 } } };
    const response = await synced(alice, filter);
    const members = listAt(response, "rooms", "join", roomId, "state", "events")
      .filter((event) => at(event, "type") === "m.room.member")
      .map((event) => at(event, "state_key"));
    expect(members.sort()).toEqual([alice.userId, bob.userId]);
    expect(at(response, "rooms", "join", roomId, "summary", "m.joined_member_count")).toBe(3);
  });

  it("keep the fields of event_fields only", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    await alice.say(roomId, "hello");
    const response = await synced(alice, {
      event_fields: ["type", "content.body"],
      room: { timeline: { limit: 1 } },
    });
    expect(timeline(response, roomId)).toEqual([
      { type: "m.room.message", content: { body: "hello" } },
    ]);
  });

  it("are stored, read back and used by id, with the timeline capped at 100", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const filter = { room: { timeline: { types: ["m.room.message"], limit: 5000 } } };
    const { filter_id } = await alice.post(`user/${alice.userId}/filter`, filter);
    expect(await alice.get(`user/${alice.userId}/filter/${String(filter_id)}`)).toEqual({
      room: { timeline: { types: ["m.room.message"], limit: 100 } },
    });
    await alice.say(roomId, "hello");
    const response = await alice.sync(undefined, `&filter=${String(filter_id)}`);
    expect(types(timeline(response, roomId))).toEqual(["m.room.message"]);
    expect(await alice.request("GET", "sync?filter=99")).toEqual({
      status: 400,
      body: { errcode: "M_INVALID_PARAM", error: "No such filter" },
    });
  });

  it("of /messages fill the limit with what they let through", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    for (let i = 0; i < 5; i++) {
      await alice.say(roomId, `m${i}`);
      await alice.put(`rooms/${roomId}/send/org.noise/n${i}`);
    }
    const filter = encodeURIComponent(JSON.stringify({ types: ["m.room.message"] }));
    const page = await alice.get(`rooms/${roomId}/messages?dir=b&limit=3&filter=${filter}`);
    const bodies = listAt(page, "chunk").map((event) => at(event, "content", "body"));
    expect(bodies).toEqual(["m4", "m3", "m2"]);
    const end = String(page["end"]);
    const rest = await alice.get(
      `rooms/${roomId}/messages?dir=b&limit=9&filter=${filter}&from=${end}`,
    );
    expect(listAt(rest, "chunk").map((event) => at(event, "content", "body"))).toEqual([
      "m1",
      "m0",
    ]);
  });
});
