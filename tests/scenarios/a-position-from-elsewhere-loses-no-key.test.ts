import { afterAll, beforeAll, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver, type TestUser } from "../support/homeserver.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { restOk } from "../support/rest.ts";

let homeserver: TestHomeserver;
let daemon: Daemon;
let peer: EncryptedPeer;
let plain: TestUser;

const api = (path: string) => `${daemon.url}/_matrix/client/v3${path}`;
const get = (path: string) => restOk(api(path), { token: plain.accessToken });

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  daemon = await Daemon.start({ homeserver: homeserver.url });
  peer = await EncryptedPeer.register(homeserver, "peer");
  plain = await homeserver.registerUser("plain");
});

afterAll(async () => {
  peer.stop();
  await daemon.dispose();
  await homeserver.stop();
});

it("keeps the room key that a position of /messages acknowledges unseen", async () => {
  await get("/sync?timeout=0");
  const roomId = await peer.createEncryptedRoom([plain.userId]);
  const room = encodeURIComponent(roomId);
  await restOk(api(`/join/${room}`), { method: "POST", token: plain.accessToken, body: {} });
  await peer.waitForMember(roomId, plain.userId, "join");
  const eventId = await peer.sendText(roomId, "its key waits in the inbox");
  expect(await homeserver.toDeviceInbox(plain.userId, plain.deviceId)).not.toEqual([]);

  // A position of now, from an answer that carries no to-device events.
  const { start } = await get(`/rooms/${room}/messages?dir=b&limit=1`);
  await get(`/sync?timeout=0&since=${encodeURIComponent(String(start))}`);
  await get(`/sync?timeout=0&since=${encodeURIComponent(String(start))}`);

  const event = await get(`/rooms/${room}/event/${encodeURIComponent(eventId)}`);
  expect(event).toMatchObject({
    type: "m.room.message",
    content: { body: "its key waits in the inbox" },
  });
});
