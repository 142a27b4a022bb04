import { afterEach, beforeEach, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { Interceptor } from "../support/interceptor.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest, PlainSyncer } from "../support/peers/plain-rest.ts";
import type { RestResponse } from "../support/rest.ts";

/** Far more than an answer takes, far less than the daemon's own time-outs and back-offs. */
const AT_ONCE_MS = 5_000;

let homeserver: TestHomeserver;
let wire: Interceptor;
let daemon: Daemon;
let plain: PlainRest;
let reader: LightDevice;
let roomId: string;

beforeEach(async () => {
  homeserver = await startTestHomeserver();
  wire = await Interceptor.start(homeserver.url);
  daemon = await Daemon.start({ homeserver: wire.url });
  plain = new PlainRest(daemon.url, await homeserver.registerUser("plain"));
  reader = await LightDevice.start(homeserver.url, await homeserver.registerUser("reader"));
  roomId = await plain.createEncryptedRoom([reader.userId]);
  await new PlainRest(homeserver.url, reader.account).join(roomId);
});

afterEach(async () => {
  await daemon.dispose();
  await wire.stop();
  await homeserver.stop();
});

/** Fails where the answer does not come at once. */
async function atOnce(request: Promise<RestResponse>): Promise<RestResponse> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`expected an answer within ${AT_ONCE_MS} ms`));
    }, AT_ONCE_MS);
  });
  try {
    return await Promise.race([request, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function expectUnreachable(request: Promise<RestResponse>): Promise<void> {
  const { status, json } = await atOnce(request);
  expect([status, json["errcode"]]).toEqual([502, "M_UNKNOWN"]);
  expect(String(json["error"])).toMatch(/homeserver/);
}

async function expectReadable(body: string): Promise<void> {
  const eventId = await plain.sendText(roomId, body);
  expect((await reader.read(roomId, eventId)).content["body"]).toBe(body);
}

it("answers an encrypted send 502 with a sentence, and goes on when it is back", async () => {
  await expectReadable("before the outage");
  await wire.cut();

  for (let round = 0; round < 3; round++) {
    await expectUnreachable(plain.trySend(roomId, `lost ${round}`));
  }

  await wire.mend();
  await expectReadable("after the outage");
  const stored = await homeserver.eventContents(roomId);
  expect(stored.filter(({ type }) => type === "m.room.encrypted")).toHaveLength(2);
});

it("answers the very first encrypted send of a device 502, too", async () => {
  await plain.ok("GET", "/account/whoami");
  await wire.cut();
  await expectUnreachable(plain.trySend(roomId, "lost"));
  await expectUnreachable(plain.trySend(roomId, "lost again"));
  await wire.mend();
  await expectReadable("after the outage");
});

it("answers a send after a restart of the daemon 502, too", async () => {
  await expectReadable("before the outage");
  await wire.cut();
  await daemon.restart();

  await expectUnreachable(plain.trySend(roomId, "lost"));

  await wire.mend();
  await expectReadable("after the outage");
});

it("answers every other request 502, and never 401 for a token that was valid", async () => {
  await expectReadable("before the outage");
  const { nextBatch } = await plain.sync(null);
  await wire.cut();
  const room = encodeURIComponent(roomId);
  const since = encodeURIComponent(nextBatch);

  await expectUnreachable(plain.request("GET", `/sync?since=${since}&timeout=0`));
  await expectUnreachable(plain.request("GET", `/sync?since=${since}&timeout=30000`));
  await expectUnreachable(plain.request("GET", "/sync"));
  await expectUnreachable(plain.request("GET", `/rooms/${room}/messages?dir=b`));
  await expectUnreachable(plain.request("GET", `/rooms/${room}/joined_members`));
  await expectUnreachable(plain.request("POST", "/createRoom", {}));
  await daemon.restart();
  await expectUnreachable(plain.request("GET", `/sync?since=${since}&timeout=0`));
  const { status } = await atOnce(plain.request("GET", "/account/whoami"));
  expect(status).not.toBe(401);
});

it("answers 502 for a token that nobody knows, not 401", async () => {
  await wire.cut();
  const stranger = new PlainRest(daemon.url, { ...plain.account, accessToken: "syt_never_seen" });
  await expectUnreachable(stranger.trySend(roomId, "lost"));
  await expectUnreachable(stranger.request("GET", "/sync"));
});

it("ends a long poll that is open when the homeserver goes, and serves the next one", async () => {
  const { nextBatch } = await plain.sync(null);
  const since = encodeURIComponent(nextBatch);
  const poll = plain.request("GET", `/sync?since=${since}&timeout=30000`);
  await wire.waitForRequest("GET", /\/sync\?.*timeout=(2|3)\d{4}/);
  await wire.cut();
  await expectUnreachable(poll);

  await wire.mend();
  const syncer = await PlainSyncer.start(plain, nextBatch);
  await reader.sendTextWithNewKey(roomId, [plain.userId], "into the mended wire");
  await syncer.waitForText("into the mended wire");
  await syncer.stop();
});

it("sends nothing where it cannot learn who is in the room", async () => {
  await expectReadable("before");
  wire.on("GET", /\/members/, () => Promise.resolve("drop"));
  const { status } = await atOnce(plain.trySend(roomId, "to whom"));
  expect(status).toBe(502);
  const stored = await homeserver.eventContents(roomId);
  expect(stored.filter(({ type }) => type === "m.room.encrypted")).toHaveLength(1);
});

it("sends nothing where it cannot learn whether the room is encrypted", async () => {
  const other = new PlainRest(homeserver.url, await homeserver.registerUser("other"));
  const unknown = await other.createEncryptedRoom([plain.userId]);
  await new PlainRest(homeserver.url, plain.account).join(unknown);
  wire.on("GET", /\/state\/m\.room\.encryption/, () => Promise.resolve("drop"));
  const { status } = await atOnce(plain.trySend(unknown, "in the clear"));
  expect(status).toBe(502);
  const stored = await homeserver.eventContents(unknown);
  expect(stored.filter(({ json }) => json.includes("in the clear"))).toEqual([]);
});

it("sends once where the answer to the send was lost and the client tries again", async () => {
  await expectReadable("before");
  wire.loseNextAnswer("PUT", /\/send\/m\.room\.encrypted\//);
  const lost = await atOnce(plain.trySend(roomId, "once", "lost-answer"));
  expect(lost.status).toBe(502);
  const eventId = await plain.sendText(roomId, "once", "lost-answer");
  expect((await reader.read(roomId, eventId)).content["body"]).toBe("once");
  const stored = await homeserver.eventContents(roomId);
  expect(stored.filter(({ type }) => type === "m.room.encrypted")).toHaveLength(2);
});
