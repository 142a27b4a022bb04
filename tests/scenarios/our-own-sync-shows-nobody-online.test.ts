import { afterAll, beforeAll, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { Interceptor } from "../support/interceptor.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";

let homeserver: TestHomeserver;
let wire: Interceptor;
let daemon: Daemon;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  wire = await Interceptor.start(homeserver.url);
  daemon = await Daemon.start({ homeserver: wire.url });
});

afterAll(async () => {
  await daemon.dispose();
  await wire.stop();
  await homeserver.stop();
});

it("leaves a user offline whose client does not sync", async () => {
  const user = await homeserver.registerUser("plain");
  const plain = new PlainRest(daemon.url, user);
  const peer = await LightDevice.start(homeserver.url, await homeserver.registerUser("peer"));
  // The keys are made, and our loop begins, though the client never syncs.
  const roomId = await plain.createEncryptedRoom([peer.userId]);
  await new PlainRest(homeserver.url, peer.account).join(roomId);
  await plain.ok("PUT", `/presence/${encodeURIComponent(user.userId)}/status`, {
    presence: "offline",
  });
  await plain.sendText(roomId, "and goes away");

  const first = await wire.waitForRequest("GET", /\/sync\?.*since=/);
  expect(first.path).toContain("set_presence=offline");
  // A key that comes is answered by one more request, which shows that the one before was served.
  const count = wire.requests.seen.length;
  await peer.sendTextWithNewKey(roomId, [user.userId], "one more");
  await wire.requests.find(
    "another sync of our own",
    (request) =>
      wire.requests.seen.indexOf(request) >= count && /\/sync\?.*since=/.test(request.path),
  );

  expect(await homeserver.presenceOf(user)).toBe("offline");
});
