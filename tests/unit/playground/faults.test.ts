import { describe, expect, it } from "vitest";
import { at } from "./api.ts";
import { Fixture, text } from "./fixture.ts";

describe("faults", () => {
  const fixture = new Fixture();
  const sends = (): number =>
    fixture.playground.store.events().filter((event) => event.type === "m.room.message").length;

  it("drop a request before it is handled", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const fault = fixture.playground.faults.add({
      method: "PUT",
      path: /\/send\//,
      times: 1,
      action: { type: "drop" },
    });
    await expect(alice.say(roomId, "lost")).rejects.toThrow("fetch failed");
    expect([fault.hits, sends()]).toEqual([1, 0]);
    await alice.say(roomId, "arrives");
    expect([fault.hits, sends()]).toEqual([1, 1]);
  });

  it("drop the response of a request that was handled", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const path = /\/send\//;
    fixture.playground.faults.add({ path, times: 1, action: { type: "drop-response" } });
    const send = `rooms/${roomId}/send/m.room.message/t1`;
    await expect(alice.put(send, text("once"))).rejects.toThrow("fetch failed");
    expect(sends()).toBe(1);
    await alice.put(send, text("once"));
    expect(sends()).toBe(1);
  });

  it("hold a request until a promise resolves", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    let release = (): void => undefined;
    const until = new Promise<void>((resolve) => {
      release = resolve;
    });
    const action = { type: "delay", until } as const;
    const fault = fixture.playground.faults.add({ path: /\/send\//, action });
    const sending = alice.say(roomId, "held");
    await fault.hit();
    expect(sends()).toBe(0);
    release();
    await sending;
    await fault.done();
    expect(sends()).toBe(1);
  });

  it("hold a response while what it did is done", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const roomId = await fixture.room(alice, bob);
    let release = (): void => undefined;
    const until = new Promise<void>((resolve) => {
      release = resolve;
    });
    const since = await bob.position();
    const action = { type: "delay-response", until } as const;
    fixture.playground.faults.add({ path: /\/send\//, action });
    const sending = alice.say(roomId, "done");
    const seen = await bob.get(`sync?timeout=30000&since=${since}`);
    expect(at(seen, "rooms", "join", roomId, "timeline", "events", 0, "content", "body")).toBe(
      "done",
    );
    release();
    await sending;
  });

  it("answer with a status and a body of one's own", async () => {
    const alice = await fixture.user("alice");
    fixture.playground.faults.add({
      path: /whoami/,
      times: 1,
      action: {
        type: "fail",
        statusCode: 429,
        body: { errcode: "M_LIMIT_EXCEEDED", error: "Too Many Requests", retry_after_ms: 5 },
      },
    });
    expect(await alice.request("GET", "account/whoami")).toEqual({
      status: 429,
      body: { errcode: "M_LIMIT_EXCEEDED", error: "Too Many Requests", retry_after_ms: 5 },
    });
    expect((await alice.request("GET", "account/whoami")).status).toBe(200);
  });

  it("deliver a request twice", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    fixture.playground.faults.add({ path: /\/send\//, action: { type: "duplicate" } });
    await alice.post(`rooms/${roomId}/send/m.room.message`, text("no transaction id"));
    expect(sends()).toBe(2);
    await alice.say(roomId, "with one");
    expect(sends()).toBe(3);
  });

  it("let a later request pass an earlier one", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const fault = fixture.playground.faults.add({
      path: /first$/,
      times: 1,
      action: { type: "after", path: /second$/ },
    });
    const first = alice.put(`rooms/${roomId}/send/m.room.message/first`, text("first"));
    await fault.hit();
    await alice.put(`rooms/${roomId}/send/m.room.message/second`, text("second"));
    await first;
    const bodies = fixture.playground.store
      .events(roomId)
      .map((event) => event.content["body"])
      .filter((body) => body !== undefined);
    expect(bodies).toEqual(["second", "first"]);
  });

  it("end when they are removed, letting go what they hold", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const action = { type: "after", path: /never/ } as const;
    const fault = fixture.playground.faults.add({ path: /\/send\//, action });
    const sending = alice.say(roomId, "held");
    await fault.hit();
    fault.remove();
    await sending;
    await alice.say(roomId, "free");
    expect(fault.hits).toBe(1);
    expect(sends()).toBe(2);
  });
});
