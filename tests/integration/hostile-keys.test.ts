import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { Interceptor, jsonAnswer } from "../support/interceptor.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";

type Json = Record<string, unknown>;

let homeserver: TestHomeserver;
let wire: Interceptor;
let daemon: Daemon;
let alice: PlainRest;
let bob: LightDevice;
let bobDirect: PlainRest;

/** How many requests there were before the test. */
let before: number;
const rules: (() => void)[] = [];

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  wire = await Interceptor.start(homeserver.url);
  daemon = await Daemon.start({ homeserver: wire.url });
});

beforeEach(async () => {
  // Both new: what a test made one believe of the other ends with it.
  bob = await LightDevice.start(homeserver.url, await homeserver.registerUser("bob"));
  bobDirect = new PlainRest(homeserver.url, bob.account);
  alice = new PlainRest(daemon.url, await homeserver.registerUser("alice"));
  before = wire.requests.seen.length;
});

afterEach(() => {
  for (const remove of rules.splice(0)) remove();
});

afterAll(async () => {
  await daemon.dispose();
  await wire.stop();
  await homeserver.stop();
});

const requestsTo = (path: RegExp) =>
  wire.requests.seen.slice(before).filter((request) => path.test(request.path));

async function sharedRoom(encryption: Json = {}): Promise<string> {
  const roomId = await alice.createEncryptedRoom([bob.userId], encryption);
  await bobDirect.join(roomId);
  return roomId;
}

function rewrite(method: string, path: RegExp, change: (body: Json) => void): void {
  const remove = wire.on(method, path, async (_request, forward) => {
    const answer = await forward();
    if (answer.status !== 200) return answer;
    const body = JSON.parse(answer.body.toString("utf8")) as Json;
    change(body);
    return jsonAnswer(200, body);
  });
  rules.push(remove);
}

const at = (value: Json, name: string) => (value[name] ??= {}) as Json;

describe("a homeserver that lies about keys", () => {
  it.each([
    ["a device without a signature", (device: Json) => delete device["signatures"]],
    [
      "a device with a wrong signature",
      (device: Json) => {
        device["signatures"] = { [bob.userId]: { "ed25519:EVIL": "A".repeat(86) } };
      },
    ],
    [
      "a device of another user",
      (device: Json) => {
        device["user_id"] = "@mallory:example.org";
      },
    ],
    [
      "a device that copies another's keys",
      (device: Json) => {
        device["device_id"] = bob.account.deviceId;
      },
    ],
  ])("gets no room key for %s", async (_name, forge) => {
    rewrite("POST", /\/keys\/query/, (body) => {
      const devices = at(at(body, "device_keys"), bob.userId);
      const genuine = devices[bob.account.deviceId] as Json | undefined;
      if (genuine === undefined) return;
      const text = JSON.stringify(genuine).replaceAll(bob.account.deviceId, "EVIL");
      const evil = JSON.parse(text) as Json;
      forge(evil);
      devices["EVIL"] = evil;
    });
    const roomId = await sharedRoom();
    const eventId = await alice.sendText(roomId, "not for the evil one");
    expect((await bob.read(roomId, eventId)).content["body"]).toBe("not for the evil one");
    const shared = requestsTo(/\/sendToDevice\/m\.room\.encrypted|\/keys\/claim/);
    expect(shared.length).toBeGreaterThan(1);
    expect(shared.filter(({ body }) => body.includes("EVIL"))).toEqual([]);
  });

  it("gets no room key for a known device whose identity it changes", async () => {
    const roomId = await sharedRoom();
    await alice.sendText(roomId, "to the genuine one");
    rewrite("POST", /\/keys\/query/, (body) => {
      const devices = at(at(body, "device_keys"), bob.userId);
      const device = devices[bob.account.deviceId] as Json | undefined;
      if (device === undefined) return;
      at(device, "keys")[`ed25519:${bob.account.deviceId}`] = "A".repeat(43);
    });
    const eventId = await alice.sendText(roomId, "still to the genuine one");
    expect((await bob.read(roomId, eventId)).content["body"]).toBe("still to the genuine one");
  });

  it("gets no session with a one-time key that is not signed", async () => {
    rewrite("POST", /\/keys\/claim/, (body) => {
      for (const device of Object.values(at(at(body, "one_time_keys"), bob.userId))) {
        for (const key of Object.values(device as Json)) (key as Json)["key"] = "A".repeat(43);
      }
    });
    const roomId = await sharedRoom();
    await alice.sendText(roomId, "nobody can be given the key");
    await bob.sync();
    const keys = requestsTo(/\/sendToDevice\/m\.room\.encrypted/);
    expect(keys.filter(({ body }) => body.includes("ciphertext"))).toEqual([]);
  });

  it("cannot make it upload keys for ever by counts that are always 0", async () => {
    rewrite("GET", /\/sync/, (body) => {
      body["device_one_time_keys_count"] = { signed_curve25519: 0 };
      body["device_unused_fallback_key_types"] = [];
    });
    let since = (await alice.sync(null)).nextBatch;
    for (let round = 0; round < 40; round++) since = (await alice.sync(since)).nextBatch;
    const roomId = await sharedRoom();
    await alice.sendText(roomId, "after the flood");
    // Twenty at once are allowed, and one more each minute.
    expect(requestsTo(/\/keys\/upload/).length).toBeLessThanOrEqual(22);
  });

  it("that has other one-time keys of ours stops the sends, and is not asked again", async () => {
    const roomId = await sharedRoom();
    await alice.sendText(roomId, "before");
    const error = "One time key signed_curve25519:AAAAAAAAAA already exists";
    const exists = jsonAnswer(400, { errcode: "M_UNKNOWN", error });
    rules.push(wire.on("POST", /\/keys\/upload/, () => Promise.resolve(exists)));
    rewrite("GET", /\/sync/, (body) => {
      body["device_one_time_keys_count"] = { signed_curve25519: 0 };
    });
    let since = (await alice.sync(null)).nextBatch;
    since = (await alice.sync(since)).nextBatch;
    await daemon.waitForLog(/older than the last used/);
    const uploads = requestsTo(/\/keys\/upload/).length;
    const sends = requestsTo(/\/send\/m\.room\.encrypted/).length;
    for (let round = 0; round < 5; round++) {
      since = (await alice.sync(since)).nextBatch;
      const refused = await alice.trySend(roomId, "after");
      expect([refused.status, refused.json["errcode"]]).toEqual([403, "M_FORBIDDEN"]);
      expect(refused.json["error"]).toContain("older than the one last used");
    }
    expect(requestsTo(/\/keys\/upload/)).toHaveLength(uploads);
    expect(requestsTo(/\/send\/m\.room\.encrypted/)).toHaveLength(sends);
    await daemon.restart();
    expect((await alice.trySend(roomId, "after a restart")).status).toBe(403);
  });
});

describe("members who mean no good", () => {
  it.each([
    ["zero", { rotation_period_ms: 0, rotation_period_msgs: 0 }],
    ["negative", { rotation_period_ms: -1, rotation_period_msgs: -100 }],
    ["huge", { rotation_period_ms: 9007199254740991, rotation_period_msgs: 9007199254740991 }],
    ["of a wrong kind", { rotation_period_ms: "1", rotation_period_msgs: null }],
  ])("cannot break sends by rotation periods that are %s", async (_name, encryption) => {
    const roomId = await sharedRoom(encryption);
    const sessions = new Set<string>();
    for (const body of ["one", "two", "three"]) {
      const eventId = await alice.sendText(roomId, body);
      const read = await bob.read(roomId, eventId);
      expect(read.content["body"]).toBe(body);
      sessions.add(read.sessionId);
    }
    expect(sessions.size).toBe(1);
  });

  it("cannot slip in keys, secrets or marks by to-device events in the clear", async () => {
    const since = (await alice.sync(null)).nextBatch;
    const { userId, deviceId } = alice.account;
    const toAlice = (content: Json) => ({ [userId]: { [deviceId]: content } });
    await bobDirect.sendToDevice(
      "m.room_key",
      toAlice({
        algorithm: "m.megolm.v1.aes-sha2",
        room_id: "!a:b",
        session_id: "s",
        session_key: "k",
      }),
    );
    await bobDirect.sendToDevice("m.forwarded_room_key", toAlice({ room_id: "!a:b" }));
    await bobDirect.sendToDevice("m.secret.send", toAlice({ request_id: "1", secret: "x" }));
    await bobDirect.sendToDevice("org.example.ping", toAlice({ hello: 1 }));
    const answer = await alice.sync(since, 30_000);
    expect(answer.toDevice.map(({ type }) => type)).toEqual(["org.example.ping"]);
  });
});
