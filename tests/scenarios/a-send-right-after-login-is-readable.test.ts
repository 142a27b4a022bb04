import { afterAll, beforeAll, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { stringField } from "../support/json.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";
import { restOk } from "../support/rest.ts";

let homeserver: TestHomeserver;
let daemon: Daemon;
let peer: EncryptedPeer;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  daemon = await Daemon.start({ homeserver: homeserver.url });
  peer = await EncryptedPeer.register(homeserver, "peer");
});

afterAll(async () => {
  peer.stop();
  await daemon.dispose();
  await homeserver.stop();
});

it("reaches the peer readable, as the first request after the login", async () => {
  const user = await homeserver.registerUser("plain");
  const roomId = await peer.createEncryptedRoom([user.userId]);
  await new PlainRest(homeserver.url, user).join(roomId);
  await peer.waitForMember(roomId, user.userId, "join");

  const login = await restOk(`${daemon.url}/_matrix/client/v3/login`, {
    method: "POST",
    body: {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: user.userId },
      password: user.password,
    },
  });
  const plain = new PlainRest(daemon.url, {
    userId: user.userId,
    deviceId: stringField(login, "device_id"),
    accessToken: stringField(login, "access_token"),
  });
  const answer = await plain.trySend(roomId, "the very first words");

  expect([answer.status, answer.text]).toEqual([200, expect.stringContaining("event_id")]);
  const seen = await peer.waitForText("the very first words");
  expect([seen.encrypted, seen.failure]).toEqual([true, null]);
  const stored = await homeserver.eventContents(roomId);
  expect(stored.filter(({ json }) => json.includes("the very first"))).toEqual([]);
});

it("reaches the peer readable with a token that was never seen before", async () => {
  const user = await homeserver.registerUser("plain");
  const roomId = await peer.createEncryptedRoom([user.userId]);
  await new PlainRest(homeserver.url, user).join(roomId);

  const answer = await new PlainRest(daemon.url, user).trySend(roomId, "from nowhere");

  expect(answer.status).toBe(200);
  const seen = await peer.waitForText("from nowhere");
  expect([seen.encrypted, seen.failure]).toEqual([true, null]);
});
