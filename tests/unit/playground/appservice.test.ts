import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { at, listAt, request } from "./api.ts";
import type { Answer } from "./api.ts";
import { Bridge } from "./bridge.ts";
import type { Transaction } from "./bridge.ts";
import { Fixture, text } from "./fixture.ts";

const GHOST = "@_ghost_1:playground";

describe("an appservice", () => {
  const fixture = new Fixture({ appserviceRetryMs: 3_600_000 });
  let bridge: Bridge;

  beforeEach(async () => {
    bridge = new Bridge();
    fixture.playground.registerAppservice(await bridge.start());
    const registered = await as("POST", "register", {
      type: "m.login.application_service",
      username: "_ghost_1",
      inhibit_login: true,
    });
    expect(registered.body).toEqual({ user_id: GHOST, home_server: "playground" });
  });

  afterEach(() => bridge.stop());

  const as = (method: string, path: string, body?: unknown): Promise<Answer> =>
    request(fixture.playground.url, method, path, body, "as");
  const asGhost = (method: string, path: string, body?: unknown): Promise<Answer> =>
    as(method, `${path}${path.includes("?") ? "&" : "?"}user_id=${GHOST}`, body);
  const holds =
    (type: string) =>
    ({ body }: Transaction): boolean =>
      listAt(body, "events").some((event) => at(event, "type") === type);

  it("acts as itself, as its users, as their devices, and as nobody else", async () => {
    expect((await as("GET", "account/whoami")).body["user_id"]).toBe("@_bot:playground");
    expect((await asGhost("PUT", "devices/GHOSTDEV", {})).status).toBe(201);
    const whoami = await asGhost("GET", "account/whoami?device_id=GHOSTDEV");
    expect(whoami.body).toEqual({ user_id: GHOST, is_guest: false, device_id: "GHOSTDEV" });
    const unknown = await asGhost("GET", "account/whoami?device_id=OTHER");
    expect(unknown.status).toBe(400);
    expect(unknown.body["errcode"]).toBe("ORG.MATRIX.MSC4326.M_UNKNOWN_DEVICE");
    await fixture.user("alice");
    const outside = await as("GET", "account/whoami?user_id=@alice:playground");
    expect(outside.status).toBe(403);
    expect(outside.body["errcode"]).toBe("M_FORBIDDEN");
    const missing = await as("GET", "account/whoami?user_id=@_ghost_2:playground");
    expect(missing.status).toBe(403);
  });

  it("logs its users in", async () => {
    const session = await as("POST", "login", {
      type: "m.login.application_service",
      identifier: { type: "m.id.user", user: "_ghost_1" },
      device_id: "LOGIN",
    });
    expect(session.body["device_id"]).toBe("LOGIN");
    const token = String(session.body["access_token"]);
    const whoami = await request(fixture.playground.url, "GET", "account/whoami", undefined, token);
    expect(whoami.body["user_id"]).toBe(GHOST);
  });

  it("is pushed the events of its users' rooms, with room ids and its hs_token", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    await alice.say(roomId, "before");
    await alice.post(`rooms/${roomId}/invite`, { user_id: GHOST });
    await asGhost("POST", `join/${roomId}`, {});
    await alice.say(roomId, "after");
    const { body, authorization, path } = await bridge.until(holds("m.room.message"));
    expect(authorization).toBe("Bearer hs");
    expect(path).toMatch(/^\/_matrix\/app\/v1\/transactions\/\d+$/);
    const event = listAt(body, "events").find((one) => at(one, "type") === "m.room.message");
    expect(at(event, "content", "body")).toBe("after");
    expect(at(event, "room_id")).toBe(roomId);
    const all = bridge.transactions.flatMap((one) => listAt(one.body, "events"));
    expect(all.map((one) => at(one, "content", "body"))).not.toContain("before");
  });

  it("is pushed to-device messages, which stay in the inbox, with key counts", async () => {
    const alice = await fixture.user("alice");
    await asGhost("PUT", "devices/GHOSTDEV", {});
    await asGhost("POST", "keys/upload?device_id=GHOSTDEV", {
      one_time_keys: { "signed_curve25519:A": { key: "one" } },
    });
    const messages = { [GHOST]: { GHOSTDEV: { n: 1 } } };
    await alice.put("sendToDevice/org.test/1", { messages });
    const name = "de.sorunome.msc2409.to_device";
    const { body } = await bridge.until((one) => listAt(one.body, name).length > 0);
    expect(body[name]).toEqual([
      {
        type: "org.test",
        sender: alice.userId,
        content: { n: 1 },
        to_user_id: GHOST,
        to_device_id: "GHOSTDEV",
      },
    ]);
    const counts = at(body, "org.matrix.msc3202.device_one_time_keys_count", GHOST);
    expect(counts).toEqual({ GHOSTDEV: { signed_curve25519: 1 } });
    expect(fixture.playground.store.inbox(GHOST, "GHOSTDEV")).toHaveLength(1);
    const synced = await asGhost("GET", "sync?timeout=0&device_id=GHOSTDEV");
    expect(listAt(synced.body, "to_device", "events")).toHaveLength(1);
    const without = await asGhost("GET", "sync?timeout=0");
    expect(without.body["to_device"]).toBeUndefined();
  });

  it("is told of device changes of those who share a room with its users", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    await alice.post(`rooms/${roomId}/invite`, { user_id: GHOST });
    await asGhost("POST", `join/${roomId}`, {});
    await fixture.device("alice", "SECOND");
    const name = "org.matrix.msc3202.device_lists";
    const { body } = await bridge.until(({ body }) =>
      listAt(body, name, "changed").includes(alice.userId),
    );
    expect(body[name]).toEqual({ changed: [alice.userId], left: [] });
  });

  it("gets the events of its outage after a ping, under the same ids, and nothing else of it", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    await asGhost("PUT", "devices/GHOSTDEV", {});
    await alice.post(`rooms/${roomId}/invite`, { user_id: GHOST });
    await asGhost("POST", `join/${roomId}`, {});
    await alice.say(roomId, "reaches it");
    await bridge.until(holds("m.room.message"));
    bridge.status = 500;
    bridge.transactions.length = 0;
    await alice.put(`rooms/${roomId}/send/org.lost/1`, text("in the outage"));
    const failed = await bridge.until(holds("org.lost"));
    await alice.put("sendToDevice/org.test/1", { messages: { [GHOST]: { GHOSTDEV: { n: 1 } } } });
    await alice.put(`rooms/${roomId}/send/org.later/2`, text("still in it"));
    bridge.status = 200;
    bridge.transactions.length = 0;
    const pinged = await request(
      fixture.playground.url,
      "POST",
      "/_matrix/client/v1/appservice/bridge/ping",
      {},
      "as",
    );
    expect(pinged.status).toBe(200);
    expect(bridge.transactions[0]?.path).toBe("/_matrix/app/v1/ping");
    await bridge.until(holds("org.later"));
    expect((await bridge.until(holds("org.lost"))).path).toBe(failed.path);
    const pushed = bridge.transactions.slice(1);
    expect(pushed.flatMap((one) => listAt(one.body, "de.sorunome.msc2409.to_device"))).toEqual([]);
    expect(fixture.playground.store.inbox(GHOST, "GHOSTDEV")).toHaveLength(1);
  });

  it("has one space of transaction ids for all its users", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    await alice.post(`rooms/${roomId}/invite`, { user_id: GHOST });
    await alice.post(`rooms/${roomId}/invite`, { user_id: "@_bot:playground" });
    await asGhost("POST", `join/${roomId}`, {});
    await as("POST", `join/${roomId}`, {});
    const path = `rooms/${roomId}/send/m.room.message/t1`;
    const first = await asGhost("PUT", path, text("ghost"));
    expect((await as("PUT", path, text("bot"))).body).toEqual(first.body);
    const bodies = fixture.playground.store.events(roomId).map((event) => event.content["body"]);
    expect(bodies).not.toContain("bot");
  });
});
