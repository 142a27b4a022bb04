import { describe, expect, it } from "vitest";
import { at, listAt } from "./api.ts";
import { Fixture, text } from "./fixture.ts";

describe("transaction ids", () => {
  const fixture = new Fixture();
  const bodies = (): unknown[] =>
    fixture.playground.store
      .events()
      .filter((event) => event.type === "m.room.message")
      .map((event) => event.content["body"]);

  it("keep the first content, whatever the second says", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const path = `rooms/${roomId}/send/m.room.message/t1`;
    const first = await alice.put(path, text("one"));
    expect(await alice.put(path, text("two"))).toEqual(first);
    expect(bodies()).toEqual(["one"]);
  });

  it("hold for the device across types, versions, redactions and logins", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const first = await alice.put(`rooms/${roomId}/send/m.room.message/t1`, text("one"));
    const eventId = String(first["event_id"]);
    expect(await alice.put(`rooms/${roomId}/send/m.other/t1`, text("two"))).toEqual(first);
    const r0 = `/_matrix/client/r0/rooms/${roomId}/send/m.room.message/t1`;
    expect(await alice.put(r0, text("three"))).toEqual(first);
    expect(await alice.put(`rooms/${roomId}/redact/${eventId}/t1`)).toEqual(first);
    const again = await fixture.device("alice", alice.deviceId);
    expect(await again.put(`rooms/${roomId}/send/m.room.message/t1`, text("four"))).toEqual(first);
    expect(bodies()).toEqual(["one"]);
  });

  it("of another device are other transactions", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const second = await fixture.device("alice", "SECOND");
    await alice.put(`rooms/${roomId}/send/m.room.message/t1`, text("one"));
    await second.put(`rooms/${roomId}/send/m.room.message/t1`, text("two"));
    expect(bodies()).toEqual(["one", "two"]);
  });

  it("are not used up by a refusal", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const roomId = await fixture.room(alice);
    const path = `rooms/${roomId}/send/m.room.message/t1`;
    const refused = await bob.request("PUT", path, text("one"));
    expect(refused.status).toBe(403);
    expect(refused.body["errcode"]).toBe("M_FORBIDDEN");
    await alice.post(`rooms/${roomId}/invite`, { user_id: bob.userId });
    await bob.post(`join/${roomId}`);
    await bob.put(path, text("two"));
    expect(bodies()).toEqual(["two"]);
  });

  it("are shown to the sending device only", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const second = await fixture.device("alice", "SECOND");
    await alice.put(`rooms/${roomId}/send/m.room.message/t1`, text("one"));
    const last = async (client: typeof alice): Promise<unknown> => {
      const response = await client.sync();
      return listAt(response, "rooms", "join", roomId, "timeline", "events").at(-1);
    };
    expect(at(await last(alice), "unsigned", "transaction_id")).toBe("t1");
    expect(at(await last(second), "unsigned", "transaction_id")).toBeUndefined();
  });
});
