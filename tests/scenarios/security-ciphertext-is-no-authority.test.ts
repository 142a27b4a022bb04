import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { jsonAnswer, Interceptor } from "../support/interceptor.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";

let homeserver: TestHomeserver;
let wire: Interceptor;
let daemon: Daemon;
let plain: PlainRest;
let member: LightDevice;
let roomId: string;
let position: string;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  wire = await Interceptor.start(homeserver.url);
  daemon = await Daemon.start({ homeserver: wire.url });
  plain = new PlainRest(daemon.url, await homeserver.registerUser("plain"));
  member = await LightDevice.start(homeserver.url, await homeserver.registerUser("member"));
  roomId = await plain.createEncryptedRoom([member.userId]);
  await new PlainRest(homeserver.url, member.account).join(roomId);
  // The plain client's device has keys from here on.
  await plain.sendText(roomId, "hello");
  position = (await plain.sync(null)).nextBatch;
  await (await member.makeKey(roomId, [plain.userId])).release();
});

afterAll(async () => {
  await daemon.dispose();
  await wire.stop();
  await homeserver.stop();
});

/** An event as the plain client sees it, once its key has come. */
async function seen(eventId: string): Promise<Readonly<Record<string, unknown>>> {
  position = (await plain.sync(position)).nextBatch;
  return plain.ok(
    "GET",
    `/rooms/${encodeURIComponent(roomId)}/event/${encodeURIComponent(eventId)}`,
  );
}

describe("an encrypted event", () => {
  it("is shown decrypted where it is a message", async () => {
    const shown = await seen(await member.sendText(roomId, "as usual"));
    expect([shown["type"], shown["decrypted"]]).toEqual(["m.room.message", true]);
  });

  it("redacts nothing, whatever its ciphertext says", async () => {
    const target = await plain.sendText(roomId, "not the member's to redact");
    const shown = await seen(await member.send(roomId, "m.room.redaction", { redacts: target }));
    expect([shown["type"], shown["decrypted"]]).toEqual(["m.room.encrypted", undefined]);
  });

  it("is no state, whatever state key the homeserver gives it", async () => {
    const eventId = await member.send(roomId, "m.room.member", { membership: "ban" });
    const remove = wire.on("GET", /\/event\//, async (_request, forward) => {
      const answer = await forward();
      const event = JSON.parse(answer.body.toString()) as Record<string, unknown>;
      return jsonAnswer(200, { ...event, state_key: plain.userId });
    });
    const shown = await seen(eventId);
    remove();
    expect([shown["type"], shown["decrypted"]]).toEqual(["m.room.encrypted", undefined]);
  });
});
