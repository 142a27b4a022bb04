import { afterAll, beforeAll, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";

let homeserver: TestHomeserver;
let daemon: Daemon;
let peer: LightDevice;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  daemon = await Daemon.start({ homeserver: homeserver.url });
  peer = await LightDevice.start(homeserver.url, await homeserver.registerUser("peer"));
});

afterAll(async () => {
  await daemon.dispose();
  await homeserver.stop();
});

it("leaves a device alone whose keys somebody else uploaded, and says so to a send", async () => {
  const owner = await LightDevice.start(homeserver.url, await homeserver.registerUser("owner"));
  const { userId, deviceId } = owner.account;
  const client = new PlainRest(daemon.url, owner.account);
  const peerClient = new PlainRest(homeserver.url, peer.account);
  const roomId = await peerClient.createEncryptedRoom([userId]);
  await new PlainRest(homeserver.url, owner.account).join(roomId);
  const keys = (): Promise<unknown> =>
    peerClient.ok("POST", "/keys/query", { device_keys: { [userId]: [deviceId] } });
  const before = await keys();

  for (const restart of [false, true]) {
    if (restart) await daemon.restart();
    const answer = await client.trySend(roomId, "not mine to encrypt");
    expect([answer.status, answer.json["errcode"]]).toEqual([403, "M_FORBIDDEN"]);
    expect(String(answer.json["error"])).toContain(deviceId);
  }
  // The room keys of its owner come through, untouched, and so do the messages.
  const eventId = await peer.sendTextWithNewKey(roomId, [userId], "for the owner");
  const seen = await client.sync(null);
  expect(seen.toDevice.map(({ type }) => type)).toEqual(["m.room.encrypted"]);
  const event = seen.events.find((item) => item.eventId === eventId);
  expect(event?.type).toBe("m.room.encrypted");
  expect((await owner.read(roomId, eventId)).content["body"]).toBe("for the owner");

  expect(await keys()).toEqual(before);
  const stored = await homeserver.eventContents(roomId);
  expect(stored.filter(({ json }) => json.includes("not mine to encrypt"))).toEqual([]);
});
