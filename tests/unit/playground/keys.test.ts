import { describe, expect, it } from "vitest";
import type { JsonObject } from "../../../playground/json.ts";
import { at } from "./api.ts";
import type { Client } from "./api.ts";
import { Fixture } from "./fixture.ts";

describe("keys", () => {
  const fixture = new Fixture();

  function deviceKeys(client: Client, key = "key"): JsonObject {
    return {
      user_id: client.userId,
      device_id: client.deviceId,
      algorithms: ["m.megolm.v1.aes-sha2"],
      keys: { [`ed25519:${client.deviceId}`]: key },
      signatures: { [client.userId]: { [`ed25519:${client.deviceId}`]: "own" } },
    };
  }

  const upload = (client: Client): Promise<unknown> =>
    client.post("keys/upload", { device_keys: deviceKeys(client) });
  const changed = async (client: Client, from: string): Promise<unknown> =>
    client.get(`keys/changes?from=${from}&to=${from}`);

  it("are refused under a one-time key id in use for another key", async () => {
    const alice = await fixture.user("alice");
    const first = { "signed_curve25519:AAAA": { key: "one" } };
    const same = await alice.post("keys/upload", { one_time_keys: first });
    expect(same).toEqual({ one_time_key_counts: { signed_curve25519: 1 } });
    expect(await alice.post("keys/upload", { one_time_keys: first })).toEqual(same);
    const other = { "signed_curve25519:AAAA": { key: "two" } };
    const answer = await alice.request("POST", "keys/upload", { one_time_keys: other });
    expect(answer.status).toBe(400);
    expect(answer.body["errcode"]).toBe("M_UNKNOWN");
    expect(answer.body["error"]).toMatch(/^One time key signed_curve25519:AAAA already exists\. /);
  });

  it("are claimed one by one, then the fallback key again and again", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    await bob.post("keys/upload", {
      one_time_keys: { "signed_curve25519:A": { key: "one" } },
      fallback_keys: { "signed_curve25519:F": { key: "fallback", fallback: true } },
    });
    expect((await bob.sync())["device_unused_fallback_key_types"]).toEqual(["signed_curve25519"]);
    const wanted = { one_time_keys: { [bob.userId]: { [bob.deviceId]: "signed_curve25519" } } };
    const claim = async (): Promise<unknown> =>
      at(await alice.post("keys/claim", wanted), "one_time_keys", bob.userId, bob.deviceId);
    expect(await claim()).toEqual({ "signed_curve25519:A": { key: "one" } });
    const fallback = { "signed_curve25519:F": { key: "fallback", fallback: true } };
    expect(await claim()).toEqual(fallback);
    expect(await claim()).toEqual(fallback);
    const response = await bob.sync();
    expect(response["device_unused_fallback_key_types"]).toEqual([]);
    expect(response["device_one_time_keys_count"]).toEqual({ signed_curve25519: 0 });
    expect(fixture.playground.store.oneTimeKeysLeft(bob.userId, bob.deviceId)).toEqual({
      signed_curve25519: 0,
    });
  });

  it("are queried by device or all, with the device's name", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    await upload(bob);
    await bob.put(`devices/${bob.deviceId}`, { display_name: "phone" });
    const query = { device_keys: { [bob.userId]: [], "@nobody:playground": [] } };
    expect(await alice.post("keys/query", query)).toEqual({
      device_keys: {
        [bob.userId]: {
          [bob.deviceId]: {
            ...deviceKeys(bob),
            unsigned: { device_display_name: "phone" },
          },
        },
        "@nobody:playground": {},
      },
      master_keys: {},
      self_signing_keys: {},
      user_signing_keys: {},
      failures: {},
    });
  });

  it("of another user or device are refused", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const answer = await alice.request("POST", "keys/upload", { device_keys: deviceKeys(bob) });
    expect(answer.status).toBe(400);
    expect(answer.body["errcode"]).toBe("M_BAD_JSON");
  });

  it("changes tell of uploads, logins, logouts, new members and leavers at once", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const carol = await fixture.user("carol");
    const roomId = await fixture.room(alice, bob);
    let from = await alice.position();
    const next = async (): Promise<void> => {
      from = await alice.position(from);
    };
    expect(await changed(alice, from)).toEqual({ changed: [], left: [] });
    await upload(bob);
    expect(await changed(alice, from)).toEqual({ changed: [bob.userId], left: [] });
    expect(await changed(alice, from)).toEqual({ changed: [bob.userId], left: [] });
    await next();
    await upload(bob);
    expect(await changed(alice, from)).toEqual({ changed: [], left: [] });
    const second = await fixture.device("bob", "SECOND");
    expect(await changed(alice, from)).toEqual({ changed: [bob.userId], left: [] });
    await next();
    await second.post("logout");
    expect(await changed(alice, from)).toEqual({ changed: [bob.userId], left: [] });
    await next();
    await upload(carol);
    expect(await changed(alice, from)).toEqual({ changed: [], left: [] });
    await alice.post(`rooms/${roomId}/invite`, { user_id: carol.userId });
    expect(await changed(alice, from)).toEqual({ changed: [carol.userId], left: [] });
    await carol.post(`join/${roomId}`);
    await next();
    await carol.post(`rooms/${roomId}/leave`);
    expect(await changed(alice, from)).toEqual({ changed: [], left: [carol.userId] });
  });

  it("changes keep someone who left one room and shares another", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    await fixture.room(alice, bob);
    const roomId = await fixture.room(alice, bob);
    const from = await alice.position();
    await bob.post(`rooms/${roomId}/leave`);
    expect(await changed(alice, from)).toEqual({ changed: [], left: [] });
  });

  it("changes from the future are empty", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    await fixture.room(alice, bob);
    const future = `s${Buffer.from("999999.0").toString("base64url")}`;
    await upload(bob);
    expect(await changed(alice, future)).toEqual({ changed: [], left: [] });
  });

  it("for cross-signing need the password only to be replaced", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const master = (key: string): unknown => ({
      user_id: alice.userId,
      usage: ["master"],
      keys: { [`ed25519:${key}`]: key },
    });
    const path = "keys/device_signing/upload";
    await alice.post(path, { master_key: master("one") });
    await alice.post(path, { master_key: master("one") });
    const refused = await alice.request("POST", path, { master_key: master("two") });
    expect(refused.status).toBe(401);
    expect(refused.body["flows"]).toEqual([{ stages: ["m.login.password"] }]);
    const auth = {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: alice.userId },
      password: "alice-password",
    };
    await alice.post(path, { master_key: master("two"), auth });
    const answer = await bob.post("keys/query", { device_keys: { [alice.userId]: [] } });
    expect(at(answer, "master_keys", alice.userId)).toEqual(master("two"));
  });

  it("show another's signature to the signer alone", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const master = { user_id: alice.userId, usage: ["master"], keys: { "ed25519:M": "M" } };
    await alice.post("keys/device_signing/upload", { master_key: master });
    const signed = { ...master, signatures: { [bob.userId]: { "ed25519:B": "sig" } } };
    const uploaded = await bob.post("keys/signatures/upload", { [alice.userId]: { M: signed } });
    expect(uploaded).toEqual({ failures: {} });
    const seen = async (reader: Client): Promise<unknown> => {
      const answer = await reader.post("keys/query", { device_keys: { [alice.userId]: [] } });
      return at(answer, "master_keys", alice.userId, "signatures", bob.userId);
    };
    expect(await seen(bob)).toEqual({ "ed25519:B": "sig" });
    expect(await seen(alice)).toBeUndefined();
  });
});
