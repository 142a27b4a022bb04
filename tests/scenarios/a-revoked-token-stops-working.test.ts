import { afterAll, beforeAll, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver, type TestUser } from "../support/homeserver.ts";
import { Interceptor, jsonAnswer } from "../support/interceptor.ts";
import { asRecord, stringField } from "../support/json.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";
import { restOk } from "../support/rest.ts";

let homeserver: TestHomeserver;
let wire: Interceptor;
let daemon: Daemon;
let peer: LightDevice;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  wire = await Interceptor.start(homeserver.url);
  daemon = await Daemon.start({ homeserver: wire.url });
  peer = await LightDevice.start(homeserver.url, await homeserver.registerUser("peer"));
});

afterAll(async () => {
  await daemon.dispose();
  await wire.stop();
  await homeserver.stop();
});

/** A user with one device behind the daemon, in an encrypted room with the peer. */
async function begin(): Promise<{ user: TestUser; plain: PlainRest; roomId: string }> {
  const user = await homeserver.registerUser("plain");
  const plain = new PlainRest(daemon.url, user);
  const roomId = await plain.createEncryptedRoom([peer.userId]);
  await new PlainRest(homeserver.url, peer.account).join(roomId);
  await plain.sendText(roomId, "here I am");
  return { user, plain, roomId };
}

/** Logs in through the daemon. */
async function login(user: TestUser, deviceId?: string): Promise<PlainRest> {
  const answer = await restOk(`${daemon.url}/_matrix/client/v3/login`, {
    method: "POST",
    body: {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: user.userId },
      password: user.password,
      ...(deviceId === undefined ? {} : { device_id: deviceId }),
    },
  });
  return new PlainRest(daemon.url, {
    userId: user.userId,
    deviceId: stringField(answer, "device_id"),
    accessToken: stringField(answer, "access_token"),
  });
}

/** The fingerprint keys of a user's devices, as the homeserver has them. */
async function fingerprints(userId: string): Promise<Record<string, unknown>> {
  const client = new PlainRest(homeserver.url, peer.account);
  const answer = await client.ok("POST", "/keys/query", { device_keys: { [userId]: [] } });
  const devices = asRecord(asRecord(answer["device_keys"])[userId] ?? {});
  return Object.fromEntries(
    Object.entries(devices).map(([deviceId, device]) => [
      deviceId,
      asRecord(asRecord(device)["keys"])[`ed25519:${deviceId}`],
    ]),
  );
}

/** The text of an event as a client of the daemon is shown it; null where it stays encrypted. */
async function textOf(plain: PlainRest, roomId: string, eventId: string): Promise<unknown> {
  const path = `/rooms/${encodeURIComponent(roomId)}/event/${encodeURIComponent(eventId)}`;
  const event = await plain.ok("GET", path);
  return event["type"] === "m.room.message" ? asRecord(event["content"])["body"] : null;
}

it("answers 401 to everything once a token was revoked elsewhere, and sends nothing", async () => {
  const { plain, roomId } = await begin();
  const { nextBatch } = await plain.sync(null);
  await new PlainRest(homeserver.url, plain.account).ok("POST", "/logout", {});
  const before = await homeserver.eventContents(roomId);

  const room = encodeURIComponent(roomId);
  const since = encodeURIComponent(nextBatch);
  for (const answer of [
    await plain.trySend(roomId, "from the dead"),
    await plain.request("GET", `/sync?since=${since}&timeout=0`),
    await plain.request("GET", `/rooms/${room}/messages?dir=b`),
    await plain.request("GET", "/account/whoami"),
    await plain.trySend(roomId, "from the dead, again"),
  ]) {
    expect([answer.status, answer.json["errcode"]]).toEqual([401, "M_UNKNOWN_TOKEN"]);
    expect(answer.json["soft_logout"] ?? false).toBe(false);
  }
  await daemon.restart();
  expect((await plain.trySend(roomId, "from the dead")).status).toBe(401);
  expect(await homeserver.eventContents(roomId)).toHaveLength(before.length);
});

it("keeps the device's keys over a soft logout", async () => {
  const { user, plain, roomId } = await begin();
  const before = await fingerprints(user.userId);
  const early = await peer.sendTextWithNewKey(roomId, [user.userId], "before the soft logout");
  await plain.sync(null);

  const authorization = `Bearer ${user.accessToken}`;
  for (const method of ["GET", "PUT", "POST"]) {
    wire.on(method, /^\/_matrix/, async (request, forward) => {
      if (request.headers.authorization !== authorization) return forward();
      return jsonAnswer(401, {
        errcode: "M_UNKNOWN_TOKEN",
        error: "Access token has expired",
        soft_logout: true,
      });
    });
  }
  const refused = await plain.request("GET", "/sync?timeout=0");
  expect([refused.status, refused.json["soft_logout"]]).toEqual([401, true]);

  const late = await peer.sendTextWithNewKey(roomId, [user.userId], "during the soft logout");
  const again = await login(user, user.deviceId);
  await again.sync(null);

  expect(again.account.deviceId).toBe(user.deviceId);
  expect(await fingerprints(user.userId)).toEqual(before);
  expect(await textOf(again, roomId, early)).toBe("before the soft logout");
  expect(await textOf(again, roomId, late)).toBe("during the soft logout");
  const eventId = await again.sendText(roomId, "back again");
  expect((await peer.read(roomId, eventId)).content["body"]).toBe("back again");
});

it("makes a new device when a client logs out and in again", async () => {
  const { user, plain, roomId } = await begin();
  const before = await fingerprints(user.userId);
  const early = await peer.sendTextWithNewKey(roomId, [user.userId], "for the old device");
  await plain.sync(null);
  await plain.ok("POST", "/logout", {});
  expect((await plain.request("GET", "/account/whoami")).status).toBe(401);

  const again = await login(user);
  const eventId = await again.sendText(roomId, "from the new device");

  const after = await fingerprints(user.userId);
  expect(Object.keys(after)).toEqual([again.account.deviceId]);
  expect(Object.values(before)).not.toContain(after[again.account.deviceId]);
  expect((await peer.read(roomId, eventId)).content["body"]).toBe("from the new device");
  expect(await textOf(again, roomId, early)).toBeNull();
});

it("makes new keys for a device id that was logged out and comes back", async () => {
  const { user, plain, roomId } = await begin();
  const before = await fingerprints(user.userId);
  await plain.ok("POST", "/logout", {});

  const again = await login(user, user.deviceId);
  const eventId = await again.sendText(roomId, "same name, new keys");

  const after = await fingerprints(user.userId);
  expect(Object.keys(after)).toEqual([user.deviceId]);
  expect(after[user.deviceId]).not.toBe(before[user.deviceId]);
  expect((await peer.read(roomId, eventId)).content["body"]).toBe("same name, new keys");
});
