import { describe, expect, it } from "vitest";
import { at, listAt } from "./api.ts";
import { Fixture } from "./fixture.ts";

describe("sync", () => {
  const fixture = new Fixture();
  const bodies = (response: unknown, roomId: string): unknown[] =>
    listAt(response, "rooms", "join", roomId, "timeline", "events")
      .map((event) => at(event, "content", "body"))
      .filter((body) => body !== undefined);
  const stateTypes = (response: unknown, roomId: string): unknown[] =>
    listAt(response, "rooms", "join", roomId, "state", "events").map((event) => at(event, "type"));

  it("begins with state and the newest ten events", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    for (let i = 0; i < 12; i++) await alice.say(roomId, `m${i}`);
    const response = await alice.sync();
    expect(bodies(response, roomId)).toEqual(Array.from({ length: 10 }, (_, i) => `m${i + 2}`));
    expect(at(response, "rooms", "join", roomId, "timeline", "limited")).toBe(true);
    expect(stateTypes(response, roomId)).toContain("m.room.create");
    expect(response["device_lists"]).toBeUndefined();
    expect(response["device_one_time_keys_count"]).toEqual({ signed_curve25519: 0 });
    expect(response["device_unused_fallback_key_types"]).toEqual([]);
  });

  it("continues without repeating, and says where a gap begins", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const since = await alice.position();
    await alice.say(roomId, "one");
    const next = await alice.sync(since);
    expect(bodies(next, roomId)).toEqual(["one"]);
    expect(at(next, "rooms", "join", roomId, "timeline", "limited")).toBe(false);
    const position = String(next["next_batch"]);
    for (let i = 0; i < 15; i++) await alice.say(roomId, `m${i}`);
    await alice.put(`rooms/${roomId}/state/m.room.topic`, { topic: "new" });
    for (let i = 15; i < 25; i++) await alice.say(roomId, `m${i}`);
    const gap = await alice.sync(position);
    expect(bodies(gap, roomId)).toEqual(Array.from({ length: 10 }, (_, i) => `m${i + 15}`));
    expect(stateTypes(gap, roomId)).toEqual(["m.room.topic"]);
    const back = String(at(gap, "rooms", "join", roomId, "timeline", "prev_batch"));
    const page = await alice.get(`rooms/${roomId}/messages?dir=b&limit=3&from=${back}`);
    expect(listAt(page, "chunk").map((event) => at(event, "type"))[0]).toBe("m.room.topic");
    expect(at(page, "chunk", 1, "content", "body")).toBe("m14");
  });

  it("wakes a long poll for a message, and for nothing of other rooms", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const roomId = await fixture.room(alice, bob);
    const other = await fixture.room(alice);
    const since = await bob.position();
    const poll = bob.get(`sync?timeout=30000&since=${since}`);
    await fixture.playground.store.notifier.untilWaiting(bob.userId);
    await alice.say(other, "elsewhere");
    expect(fixture.playground.store.notifier.waiting(bob.userId)).toBe(1);
    await alice.say(roomId, "here");
    expect(bodies(await poll, roomId)).toEqual(["here"]);
  });

  it("answers an idle long poll after its timeout with nothing new", async () => {
    const alice = await fixture.user("alice");
    const since = await alice.position();
    const response = await alice.get(`sync?timeout=20&since=${since}`);
    expect(Object.keys(response).sort()).toEqual([
      "device_one_time_keys_count",
      "device_unused_fallback_key_types",
      "next_batch",
    ]);
  });

  it("lists newcomers and leavers, and everyone of a room just joined", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const roomId = await fixture.room(alice);
    const since = await alice.position();
    const ofBob = await bob.position();
    await alice.post(`rooms/${roomId}/invite`, { user_id: bob.userId });
    await bob.post(`join/${roomId}`);
    expect(at(await alice.sync(since), "device_lists", "changed")).toEqual([bob.userId]);
    expect(listAt(await bob.sync(ofBob), "device_lists", "changed")).toContain(alice.userId);
    const later = await alice.position(since);
    await bob.post(`rooms/${roomId}/leave`);
    expect(at(await alice.sync(later), "device_lists")).toEqual({ left: [bob.userId] });
  });

  it("misses newcomers where the filter hides their member events", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const roomId = await fixture.room(alice);
    const since = await alice.position();
    await alice.post(`rooms/${roomId}/invite`, { user_id: bob.userId });
    await bob.post(`join/${roomId}`);
    const filter = encodeURIComponent(
      JSON.stringify({ room: { timeline: { types: ["m.room.message"] }, state: { types: [] } } }),
    );
    const response = await alice.sync(since, `&filter=${filter}`);
    expect(response["device_lists"]).toBeUndefined();
  });

  it("puts state that the timeline's filter hides into the state section", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const since = await alice.position();
    await alice.put(`rooms/${roomId}/state/m.room.topic`, { topic: "hidden" });
    await alice.say(roomId, "shown");
    const timeline = { types: ["m.room.message"] };
    const filter = encodeURIComponent(JSON.stringify({ room: { timeline } }));
    const response = await alice.sync(since, `&filter=${filter}`);
    expect(bodies(response, roomId)).toEqual(["shown"]);
    expect(at(response, "rooms", "join", roomId, "timeline", "limited")).toBe(false);
    expect(stateTypes(response, roomId)).toEqual(["m.room.topic"]);
  });

  it("shows invites with stripped state, then the join, then the leave", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const { room_id } = await alice.post("createRoom", {
      name: "den",
      invite: [bob.userId],
      initial_state: [
        { type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } },
      ],
    });
    const roomId = String(room_id);
    const invited = await bob.sync();
    const stripped = listAt(invited, "rooms", "invite", roomId, "invite_state", "events");
    expect(stripped.map((event) => at(event, "type"))).toContain("m.room.encryption");
    expect(at(stripped.at(-1), "content", "membership")).toBe("invite");
    await bob.post(`join/${roomId}`);
    const joined = await bob.sync(String(invited["next_batch"]));
    expect(at(joined, "rooms", "join", roomId, "timeline", "limited")).toBe(true);
    await bob.post(`rooms/${roomId}/leave`);
    const left = await bob.sync(String(joined["next_batch"]));
    const events = listAt(left, "rooms", "leave", roomId, "timeline", "events");
    expect(at(events.at(-1), "content", "membership")).toBe("leave");
    expect(at(await bob.sync(), "rooms")).toBeUndefined();
  });

  it("records how each request would show the user", async () => {
    const alice = await fixture.user("alice");
    await alice.sync();
    await alice.sync(undefined, "&set_presence=offline");
    expect(fixture.playground.store.presenceShown(alice.userId)).toEqual(["online", "offline"]);
    expect(fixture.playground.store.syncRequests.map((sync) => sync.setPresence)).toEqual([
      null,
      "offline",
    ]);
  });

  it("refuses a token that it never gave", async () => {
    const alice = await fixture.user("alice");
    expect(await alice.request("GET", "sync?since=nonsense")).toEqual({
      status: 400,
      body: { errcode: "M_UNKNOWN", error: "Invalid stream token" },
    });
  });

  it("shows typing, receipts and account data", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const roomId = await fixture.room(alice, bob);
    const eventId = await alice.say(roomId, "hello");
    const since = await alice.position();
    await bob.put(`rooms/${roomId}/typing/${bob.userId}`, { typing: true, timeout: 1000 });
    await bob.post(`rooms/${roomId}/receipt/m.read/${eventId}`);
    await alice.put(`user/${alice.userId}/account_data/org.test`, { a: 1 });
    const response = await alice.sync(since);
    const ephemeral = listAt(response, "rooms", "join", roomId, "ephemeral", "events");
    expect(ephemeral).toContainEqual({ type: "m.typing", content: { user_ids: [bob.userId] } });
    const receipt = ephemeral.find((event) => at(event, "type") === "m.receipt");
    expect(at(receipt, "content", eventId, "m.read", bob.userId, "ts")).toBeTypeOf("number");
    expect(listAt(response, "account_data", "events")).toEqual([
      { type: "org.test", content: { a: 1 } },
    ]);
  });
});
