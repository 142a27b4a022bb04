import { afterAll, beforeAll, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";

const ROUNDS = 50;

let homeserver: TestHomeserver;
let daemon: Daemon;
let plain: PlainRest;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  daemon = await Daemon.start({ homeserver: homeserver.url });
  plain = new PlainRest(daemon.url, await homeserver.registerUser("plain"));
});

afterAll(async () => {
  await daemon.dispose();
  await homeserver.stop();
});

it(`lets ${ROUNDS} of ${ROUNDS} devices read that logged in right before the send`, async () => {
  const user = await homeserver.registerUser("peer");
  const roomId = await plain.createEncryptedRoom([user.userId]);
  await new PlainRest(homeserver.url, user).join(roomId);
  await plain.sendText(roomId, "before any of them");
  const unread: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const device = await LightDevice.start(homeserver.url, await homeserver.login(user));
    const eventId = await plain.sendText(roomId, `for device ${round}`);
    const seen = await device.read(roomId, eventId).catch(String);
    if (typeof seen === "string") unread.push(`${round}: ${seen}`);
    else expect(seen.content["body"]).toBe(`for device ${round}`);
  }
  expect(unread).toEqual([]);
});

it(`lets ${ROUNDS} of ${ROUNDS} members read that joined right before the send`, async () => {
  const roomId = await plain.createEncryptedRoom([], {});
  await plain.sendText(roomId, "before any of them");
  const unread: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const user = await homeserver.registerUser("peer");
    const device = await LightDevice.start(homeserver.url, user);
    await plain.invite(roomId, user.userId);
    await new PlainRest(homeserver.url, user).join(roomId);
    const eventId = await plain.sendText(roomId, `for member ${round}`);
    const seen = await device.read(roomId, eventId).catch(String);
    if (typeof seen === "string") unread.push(`${round}: ${seen}`);
    else expect(seen.content["body"]).toBe(`for member ${round}`);
  }
  expect(unread).toEqual([]);
});

it("lets an invited member read what was sent before the join", async () => {
  const roomId = await plain.createEncryptedRoom();
  await plain.sendText(roomId, "before the invitation");
  const user = await homeserver.registerUser("invited");
  const device = await LightDevice.start(homeserver.url, user);
  await plain.invite(roomId, user.userId);
  const eventId = await plain.sendText(roomId, "for who is invited");
  await new PlainRest(homeserver.url, user).join(roomId);
  expect((await device.read(roomId, eventId)).content["body"]).toBe("for who is invited");
});

it("lets a device of an invited user read that logged in after the invitation", async () => {
  const user = await homeserver.registerUser("invited");
  await LightDevice.start(homeserver.url, user);
  const roomId = await plain.createEncryptedRoom([user.userId]);
  await plain.sendText(roomId, "before the second device");
  const second = await LightDevice.start(homeserver.url, await homeserver.login(user));
  const eventId = await plain.sendText(roomId, "for both devices");
  await new PlainRest(homeserver.url, user).join(roomId);
  expect((await second.read(roomId, eventId)).content["body"]).toBe("for both devices");
});

it("lets a whole client that came up right before the send show it", async () => {
  const first = await EncryptedPeer.register(homeserver, "peer");
  const roomId = await plain.createEncryptedRoom([first.userId]);
  await first.joinEncrypted(roomId);
  await plain.sendText(roomId, "for the first client");
  expect((await first.waitForText("for the first client")).failure).toBeNull();
  const user = await homeserver.registerUser("peer");
  await plain.invite(roomId, user.userId);
  const late = await EncryptedPeer.start(homeserver.url, user);
  await late.join(roomId);
  await plain.sendText(roomId, "for the client that just came");
  const seen = await late.waitForText("for the client that just came");
  expect([seen.sender, seen.encrypted, seen.failure]).toEqual([plain.userId, true, null]);
  first.stop();
  late.stop();
});
