import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver, type TestUser } from "../support/homeserver.ts";
import { Interceptor } from "../support/interceptor.ts";
import { EncryptedPeer } from "../support/peers/encrypted-peer.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";

let homeserver: TestHomeserver;
let wire: Interceptor;
let daemon: Daemon | null = null;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  wire = await Interceptor.start(homeserver.url);
});

afterEach(async () => {
  await daemon?.dispose();
  daemon = null;
});

afterAll(async () => {
  await wire.stop();
  await homeserver.stop();
});

/** A daemon with these keys, and a user behind it. */
async function start(section: Readonly<Record<string, string>>) {
  daemon = await Daemon.start({ homeserver: wire.url, section });
  const user = await homeserver.registerUser("sender");
  return { user, client: new PlainRest(daemon.url, user) };
}

async function roomWith(client: PlainRest, member: TestUser): Promise<string> {
  const roomId = await client.createEncryptedRoom([member.userId]);
  await new PlainRest(homeserver.url, member).join(roomId);
  return roomId;
}

describe("IgnoreVerification = False", () => {
  it("refuses a send to a room with an unverified device and names it", async () => {
    const { client } = await start({ IgnoreVerification: "False" });
    const user = await homeserver.registerUser("unverified");
    await LightDevice.start(homeserver.url, user);
    const roomId = await roomWith(client, user);

    const refused = await client.trySend(roomId, "only for the verified");

    expect([refused.status, refused.json["errcode"]]).toEqual([403, "M_FORBIDDEN"]);
    expect(refused.json["error"]).toContain(`${user.userId} ${user.deviceId}`);
    expect(refused.json["kirjava.untrusted_devices"]).toEqual([`${user.userId} ${user.deviceId}`]);
    const stored = await homeserver.eventContents(roomId);
    expect(stored.filter(({ type }) => /m\.room\.(message|encrypted)/.test(type))).toEqual([]);
    expect(await homeserver.toDeviceInbox(user.userId, user.deviceId)).toEqual([]);
    const room = encodeURIComponent(roomId);
    const sends = wire.requests.seen.filter(({ path }) => path.includes(`${room}/send/`));
    expect(sends).toEqual([]);
  });

  it("names a second device of the sender, too", async () => {
    const { client, user } = await start({ IgnoreVerification: "False" });
    const roomId = await client.createEncryptedRoom();
    expect((await client.trySend(roomId, "alone")).status).toBe(200);
    const other = await homeserver.login(user);
    await LightDevice.start(homeserver.url, other);
    const refused = await client.trySend(roomId, "no longer alone");
    expect(refused.status).toBe(403);
    expect(refused.json["error"]).toContain(`${other.userId} ${other.deviceId}`);
  });

  it("goes on where no other device is in the room", async () => {
    const { client } = await start({ IgnoreVerification: "False" });
    const member = await homeserver.registerUser("without-keys");
    const roomId = await roomWith(client, member);
    expect((await client.trySend(roomId, "to nobody's device")).status).toBe(200);
  });
});

describe("Trust", () => {
  it.each(["all", "tofu"])("= %s reaches a device that nobody verified", async (trust) => {
    const { client } = await start({ Trust: trust });
    const user = await homeserver.registerUser("anyone");
    const device = await LightDevice.start(homeserver.url, user);
    const roomId = await roomWith(client, user);
    const eventId = await client.sendText(roomId, `for ${trust}`);
    expect((await device.read(roomId, eventId)).content["body"]).toBe(`for ${trust}`);
  });

  it("= cross-signed reaches the devices that their owner has signed, and no others", async () => {
    const { client } = await start({ Trust: "cross-signed" });
    const user = await homeserver.registerUser("signer");
    const signed = await EncryptedPeer.start(homeserver.url, user);
    await signed.bootstrapCrossSigning(user.password);
    const unsigned = await LightDevice.start(homeserver.url, await homeserver.login(user));
    const roomId = await client.createEncryptedRoom([user.userId]);
    await signed.joinEncrypted(roomId);

    const eventId = await client.sendText(roomId, "for the signed");

    expect((await signed.waitForText("for the signed")).eventId).toBe(eventId);
    await expect(unsigned.read(roomId, eventId)).rejects.toThrow(/not decrypted/);
    signed.stop();
  });
});
