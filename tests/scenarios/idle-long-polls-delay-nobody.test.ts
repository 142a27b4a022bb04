import { afterAll, beforeAll, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { Interceptor } from "../support/interceptor.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";

const USERS = 7;
const POLLS_EACH = 15;
const POLLS = USERS * POLLS_EACH;

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

it(`answers reads and sends while all of ${POLLS} long polls stay open`, async () => {
  const plain = new PlainRest(daemon.url, await homeserver.registerUser("plain"));
  const reader = await LightDevice.start(homeserver.url, await homeserver.registerUser("reader"));
  const roomId = await plain.createEncryptedRoom([reader.userId]);
  await new PlainRest(homeserver.url, reader.account).join(roomId);

  const abort = new AbortController();
  let ended = 0;
  const poll = /\/sync\?.*timeout=[1-9]\d{4}/;
  for (let user = 0; user < USERS; user++) {
    const idle = new PlainRest(daemon.url, await homeserver.registerUser("idle"));
    const { nextBatch } = await idle.sync(null);
    for (let index = 0; index < POLLS_EACH; index++) {
      void idle.sync(nextBatch, 60_000, abort.signal).then(
        () => (ended += 1),
        () => (ended += 1),
      );
    }
  }
  await wire.requests.find(
    `${POLLS} long polls`,
    () => wire.requests.seen.filter(({ path }) => poll.test(path)).length >= POLLS,
  );

  expect((await plain.request("GET", "/account/whoami")).status).toBe(200);
  expect((await plain.request("GET", "/joined_rooms")).status).toBe(200);
  const eventId = await plain.sendText(roomId, "between the polls");
  expect((await reader.read(roomId, eventId)).content["body"]).toBe("between the polls");
  expect((await plain.sync(null)).nextBatch).not.toBe("");

  expect(ended).toBe(0);
  abort.abort();
});
