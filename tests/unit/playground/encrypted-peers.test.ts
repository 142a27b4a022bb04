import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startPlayground } from "../../../playground/server.ts";
import type { Playground } from "../../../playground/server.ts";
import { SdkPeer } from "./sdk-peer.ts";

const ENCRYPTION = {
  type: "m.room.encryption",
  state_key: "",
  content: { algorithm: "m.megolm.v1.aes-sha2" },
};

describe("two encrypted peers", () => {
  let playground: Playground;
  let peers: SdkPeer[];

  beforeEach(async () => {
    playground = await startPlayground();
    peers = [];
  });

  afterEach(async () => {
    for (const peer of peers) peer.stop();
    await playground.stop();
  });

  async function peer(start: Promise<SdkPeer>): Promise<SdkPeer> {
    const started = await start;
    peers.push(started);
    return started;
  }

  async function room(alice: SdkPeer, bob: SdkPeer): Promise<string> {
    const { room_id } = await alice.client.createRoom({
      preset: "private_chat",
      invite: [bob.client.getUserId()],
      initial_state: [ENCRYPTION],
    });
    await bob.client.joinRoom(room_id);
    const isJoined = (viewer: SdkPeer): boolean =>
      viewer.client.getRoom(room_id)?.getMember(bob.client.getUserId())?.membership === "join";
    await alice.until(() => isJoined(alice));
    await bob.until(() => isJoined(bob));
    return room_id;
  }

  const text = (body: string): unknown => ({ msgtype: "m.text", body });

  it("read each other; the homeserver holds ciphertext only", async () => {
    const alice = await peer(SdkPeer.register(playground, "alice"));
    const bob = await peer(SdkPeer.register(playground, "bob"));
    const roomId = await room(alice, bob);
    await alice.client.sendEvent(roomId, "m.room.message", text("from alice"));
    expect((await bob.message("from alice")).getWireType()).toBe("m.room.encrypted");
    await bob.client.sendEvent(roomId, "m.room.message", text("from bob"));
    expect((await alice.message("from bob")).getWireType()).toBe("m.room.encrypted");
    const stored = playground.store.events(roomId);
    expect(stored.filter((event) => event.type === "m.room.message")).toEqual([]);
    expect(JSON.stringify(stored.map((event) => event.content))).not.toContain("from alice");
  });

  it("read on a device that was added later", async () => {
    const alice = await peer(SdkPeer.register(playground, "alice"));
    const bob = await peer(SdkPeer.register(playground, "bob"));
    const roomId = await room(alice, bob);
    await alice.client.sendEvent(roomId, "m.room.message", text("before"));
    await bob.message("before");
    const second = await peer(SdkPeer.login(playground, "bob"));
    await alice.knowsDevice(bob.client.getUserId(), second.client.getDeviceId());
    await alice.client.sendEvent(roomId, "m.room.message", text("after"));
    expect((await second.message("after")).isDecryptionFailure()).toBe(false);
  });

  it("read after the one-time keys ran out, through the fallback key", async () => {
    const upload = playground.faults.add({ path: /keys\/upload/, action: { type: "pass" } });
    const alice = await peer(SdkPeer.register(playground, "alice"));
    const bob = await peer(SdkPeer.register(playground, "bob"));
    await upload.done(2);
    upload.remove();
    const device = playground.store.device(bob.client.getUserId(), bob.client.getDeviceId());
    device?.oneTimeKeys.clear();
    expect(device?.unusedFallbackKeyTypes()).toEqual(["signed_curve25519"]);
    // a bob who saw the count would upload new keys
    playground.faults.add({ path: /keys\/upload/, action: { type: "fail", statusCode: 500 } });
    const roomId = await room(alice, bob);
    await alice.client.sendEvent(roomId, "m.room.message", text("by fallback"));
    expect((await bob.message("by fallback")).isDecryptionFailure()).toBe(false);
    expect(device?.unusedFallbackKeyTypes()).toEqual([]);
  });

  it("cross-sign their devices, and the other sees it", async () => {
    const alice = await peer(SdkPeer.register(playground, "alice"));
    const bob = await peer(SdkPeer.register(playground, "bob"));
    await alice.client.getCrypto().bootstrapCrossSigning({
      authUploadDeviceSigningKeys: (upload) => upload(null),
    });
    await room(alice, bob);
    const [userId, deviceId] = [alice.client.getUserId(), alice.client.getDeviceId()];
    await bob.knowsDevice(userId, deviceId);
    const status = await bob.client.getCrypto().getDeviceVerificationStatus(userId, deviceId);
    expect(status?.signedByOwner).toBe(true);
  });
});
