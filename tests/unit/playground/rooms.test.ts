import { describe, expect, it } from "vitest";
import { at, listAt } from "./api.ts";
import { Fixture, text } from "./fixture.ts";

describe("rooms", () => {
  const fixture = new Fixture();

  it("are made with their state in place before the answer", async () => {
    const alice = await fixture.user("alice");
    const created = await alice.post("createRoom", {
      preset: "public_chat",
      name: "den",
      topic: "talk",
      room_alias_name: "den",
      initial_state: [
        { type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } },
      ],
    });
    const roomId = String(created["room_id"]);
    const state = await alice.get(`rooms/${roomId}/state/m.room.encryption`);
    expect(state).toEqual({ algorithm: "m.megolm.v1.aes-sha2" });
    expect(await alice.get(`rooms/${roomId}/state/m.room.name/`)).toEqual({ name: "den" });
    const bob = await fixture.user("bob");
    expect(await bob.post(`join/${encodeURIComponent("#den:playground")}`)).toEqual({
      room_id: roomId,
    });
    expect(
      Object.keys(Object((await bob.get(`rooms/${roomId}/joined_members`))["joined"]) as object),
    ).toEqual([alice.userId, bob.userId]);
  });

  it("answer 404 for state that is not there, 403 to strangers", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const roomId = await fixture.room(alice);
    const path = `rooms/${roomId}/state/m.room.encryption/`;
    expect(await alice.request("GET", path)).toEqual({
      status: 404,
      body: { errcode: "M_NOT_FOUND", error: "Event not found." },
    });
    const stranger = await bob.request("GET", path);
    expect([stranger.status, stranger.body["errcode"]]).toEqual([403, "M_FORBIDDEN"]);
  });

  it("keep out whom they do not let in", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const roomId = await fixture.room(alice);
    const join = await bob.request("POST", `join/${roomId}`, {});
    expect([join.status, join.body["errcode"]]).toEqual([403, "M_FORBIDDEN"]);
    await alice.post(`rooms/${roomId}/invite`, { user_id: bob.userId });
    await bob.post(`join/${roomId}`);
    const kick = await bob.request("POST", `rooms/${roomId}/kick`, { user_id: alice.userId });
    expect(kick.status).toBe(403);
    const state = await bob.request("PUT", `rooms/${roomId}/state/m.room.name`, { name: "mine" });
    expect(state.status).toBe(403);
    await alice.post(`rooms/${roomId}/ban`, { user_id: bob.userId, reason: "test" });
    expect((await bob.request("POST", `join/${roomId}`, {})).status).toBe(403);
    await alice.post(`rooms/${roomId}/unban`, { user_id: bob.userId });
    const members = await alice.get(`rooms/${roomId}/members?membership=leave`);
    expect(listAt(members, "chunk").map((event) => at(event, "state_key"))).toEqual([bob.userId]);
  });

  it("take knocks where their rule allows it", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const created = await alice.post("createRoom", {
      initial_state: [{ type: "m.room.join_rules", content: { join_rule: "knock" } }],
    });
    const roomId = String(created["room_id"]);
    await bob.post(`knock/${roomId}`);
    const knocked = listAt(await bob.sync(), "rooms", "knock", roomId, "knock_state", "events");
    expect(at(knocked.at(-1), "content", "membership")).toBe("knock");
  });

  it("show a joiner the past only as their history visibility says", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const roomId = await fixture.room(alice);
    await alice.say(roomId, "shared");
    const hidden = { history_visibility: "joined" };
    await alice.put(`rooms/${roomId}/state/m.room.history_visibility`, hidden);
    await alice.say(roomId, "hidden");
    await alice.post(`rooms/${roomId}/invite`, { user_id: bob.userId });
    await bob.post(`join/${roomId}`);
    await alice.say(roomId, "seen");
    const filter = encodeURIComponent(JSON.stringify({ types: ["m.room.message"] }));
    const page = await bob.get(`rooms/${roomId}/messages?dir=f&filter=${filter}`);
    const bodies = listAt(page, "chunk").map((event) => at(event, "content", "body"));
    expect(bodies).toEqual(["shared", "seen"]);
    await bob.post(`rooms/${roomId}/leave`);
    await alice.say(roomId, "after");
    const later = await bob.get(`rooms/${roomId}/messages?dir=b&limit=50&filter=${filter}`);
    expect(listAt(later, "chunk").map((event) => at(event, "content", "body"))).toEqual([
      "seen",
      "shared",
    ]);
  });

  it("give single events, their surroundings, relations and threads", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const root = await alice.say(roomId, "root");
    const relate = (type: string, body: string): unknown => ({
      ...text(body),
      "m.relates_to": { rel_type: type, event_id: root },
    });
    await alice.put(`rooms/${roomId}/send/m.room.message/1`, relate("m.thread", "in thread"));
    await alice.put(`rooms/${roomId}/send/m.room.message/2`, relate("m.replace", "edited"));
    const event = await alice.get(`rooms/${roomId}/event/${encodeURIComponent(root)}`);
    const relations = at(event, "unsigned", "m.relations");
    expect(at(relations, "m.thread", "count")).toBe(1);
    expect(at(relations, "m.thread", "latest_event", "content", "body")).toBe("in thread");
    expect(at(relations, "m.replace", "content", "body")).toBe("edited");
    const url = `/_matrix/client/v1/rooms/${roomId}`;
    const related = await alice.get(`${url}/relations/${root}/m.thread/m.room.message`);
    expect(listAt(related, "chunk").map((one) => at(one, "content", "body"))).toEqual([
      "in thread",
    ]);
    expect(at(await alice.get(`${url}/threads`), "chunk", 0, "event_id")).toBe(root);
    const around = await alice.get(`rooms/${roomId}/context/${root}?limit=2`);
    expect(at(around, "event", "event_id")).toBe(root);
    expect(at(around, "events_after", 0, "content", "body")).toBe("in thread");
    expect(listAt(around, "events_before")).toHaveLength(1);
    const missing = await alice.request("GET", `rooms/${roomId}/event/$none`);
    expect(missing).toEqual({
      status: 404,
      body: { errcode: "M_NOT_FOUND", error: "Event not found." },
    });
  });

  it("show a redacted event without its content", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const eventId = await alice.say(roomId, "regretted");
    await alice.put(`rooms/${roomId}/redact/${eventId}/r1`, { reason: "oops" });
    const event = await alice.get(`rooms/${roomId}/event/${eventId}`);
    expect(event["content"]).toEqual({});
    expect(at(event, "unsigned", "redacted_because", "content", "reason")).toBe("oops");
  });
});
