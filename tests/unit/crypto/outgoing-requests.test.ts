import { KeysBackupRequest } from "@matrix-org/matrix-sdk-crypto-wasm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Playground, startPlayground } from "../../../playground/index.ts";
import { DeviceOwnership } from "../../../proxy/crypto/ownership.ts";
import type { Ownership } from "../../../proxy/crypto/protocol.ts";
import { readStanding } from "../../../proxy/crypto/standing.ts";
import { address } from "../accounts/section-fixture.ts";
import { Rig } from "./rig.ts";

let playground: Playground;
let rig: Rig;

beforeEach(async () => {
  playground = await startPlayground({});
  rig = await Rig.start(playground);
});
afterEach(async () => {
  await rig.stop();
  await playground.stop();
});

const upload = (action: Parameters<typeof playground.faults.add>[0]["action"], times = 1) =>
  playground.faults.add({ path: /keys\/upload/, times, action });

describe("OutgoingRequests", () => {
  it("brings the device's keys to the homeserver, once", async () => {
    const uploads = upload({ type: "pass" }, 100);
    await rig.parts.outgoing.flush();
    await rig.parts.outgoing.flush();
    expect(uploads.hits).toBe(1);
    expect(rig.parts.outgoing.lastUploadMs).toBe(rig.clock.now());
  });

  it("throws for a request of a kind that it does not know, and sends nothing", async () => {
    const request = new KeysBackupRequest("id", "{}", "1");
    await expect(rig.parts.outgoing.send(request)).rejects.toThrow(
      "the engine asks for a request of unknown type KeysBackupRequest",
    );
  });

  it("reports keys that the homeserver refuses, and uploads no more", async () => {
    const body = { errcode: "M_UNKNOWN", error: "One time key already exists" };
    const uploads = upload({ type: "fail", statusCode: 400, body }, 100);
    await expect(rig.parts.outgoing.flush()).rejects.toMatchObject({ name: "OwnRequestRefused" });
    expect(rig.refused).toEqual([rig.client.userId]);
    await rig.parts.outgoing.flush();
    expect(uploads.hits).toBe(1);
  });

  it.each([403, 404])("tries an upload again that was refused with %d", async (statusCode) => {
    upload({ type: "fail", statusCode, body: { errcode: "M_FORBIDDEN" } });
    await expect(rig.parts.outgoing.flush()).rejects.toMatchObject({ upstreamStatus: statusCode });
    expect(rig.refused).toEqual([]);
    await rig.parts.outgoing.flush();
    expect(rig.parts.outgoing.lastUploadMs).toBe(rig.clock.now());
  });

  it("uploads the same keys again where the answer was lost", async () => {
    upload({ type: "drop-response" });
    await expect(rig.parts.outgoing.flush()).rejects.toMatchObject({ statusCode: 502 });
    await rig.restart();
    await rig.parts.outgoing.flush();
    expect(rig.refused).toEqual([]);
  });

  it("tells that the access token is no longer valid", async () => {
    const body = { errcode: "M_UNKNOWN_TOKEN", soft_logout: true };
    upload({ type: "fail", statusCode: 401, body });
    await expect(rig.parts.outgoing.flush()).rejects.toMatchObject({
      name: "TokenRejected",
      fields: { soft_logout: true },
    });
  });

  it("stops uploading for counts that always say none, and goes on as time passes", async () => {
    await rig.parts.outgoing.flush();
    const uploads = upload({ type: "pass" }, 1_000);
    const none = async (index: number): Promise<void> => {
      await rig.parts.feed.take({
        toDevice: [],
        changed: [],
        left: [],
        counts: new Map([["signed_curve25519", 0]]),
        unusedFallbackKeys: null,
        since: index === 0 ? null : `s${index}`,
        nextBatch: `s${index + 1}`,
        serial: index + 1,
        oldestSerial: index + 1,
        startedMs: rig.clock.now() + 1,
      });
      await rig.parts.outgoing.flush();
    };
    for (let index = 0; index < 30; index++) await none(index);
    expect(uploads.hits).toBeLessThanOrEqual(20);
    const before = uploads.hits;
    rig.clock.advance(60_000);
    await none(30);
    expect(uploads.hits).toBe(before + 1);
  });
});

describe("DeviceOwnership", () => {
  const ownership = (state: Ownership = "unknown") =>
    new DeviceOwnership({
      ...rig.parts,
      device: address(rig.client.userId, rig.client.deviceId),
      state,
    });

  it("is ours where the homeserver holds no keys, or our own, also after a restart", async () => {
    const first = ownership();
    await first.require();
    expect(first.state).toBe("ours");
    await rig.parts.outgoing.flush();
    await rig.restart();
    const second = ownership();
    await second.require();
    expect(second.state).toBe("ours");
  });

  it("is foreign where somebody else's keys are there, and asks no more", async () => {
    await rig.client.post("keys/upload", {
      device_keys: {
        user_id: rig.client.userId,
        device_id: rig.client.deviceId,
        algorithms: [],
        keys: { [`ed25519:${rig.client.deviceId}`]: "somebody" },
        signatures: {},
      },
    });
    const state = ownership();
    await expect(state.require()).rejects.toMatchObject({ name: "ForeignDevice", statusCode: 403 });
    const queries = playground.faults.add({ path: /keys\/query/, action: { type: "pass" } });
    await expect(state.require()).rejects.toMatchObject({ name: "ForeignDevice" });
    expect(queries.hits).toBe(0);
  });

  it("stays unknown while the homeserver cannot be asked", async () => {
    const fault = playground.faults.add({ path: /keys\/query/, action: { type: "drop" } });
    const state = ownership();
    await expect(state.require()).rejects.toMatchObject({ statusCode: 502 });
    expect(state.state).toBe("unknown");
    fault.remove();
    await state.require();
    expect(state.state).toBe("ours");
  });

  it("refuses a store that is an older copy, by its generation or as the homeserver shows", async () => {
    const opening = {
      ...address(rig.client.userId, rig.client.deviceId),
      section: "s",
      token: "t",
      path: "",
      key: new Uint8Array(32),
      isNew: false,
      generation: 0,
      rolledBack: false,
      foreign: false,
    };
    const { store } = rig.parts;
    expect(await readStanding(store, opening)).toEqual({ ownership: "unknown", generation: 1 });
    await ownership().require();
    expect(await readStanding(store, { ...opening, generation: 1 })).toEqual({
      ownership: "ours",
      generation: 2,
    });
    // A crash before the section's database heard of the new number.
    expect(await readStanding(store, { ...opening, generation: 1 })).toMatchObject({
      ownership: "ours",
    });
    expect(await readStanding(store, { ...opening, generation: 9 })).toMatchObject({
      ownership: "rolled-back",
    });
    expect(await readStanding(store, opening)).toMatchObject({ ownership: "rolled-back" });
    await expect(ownership("rolled-back").require()).rejects.toMatchObject({
      name: "RolledBackStore",
      statusCode: 403,
    });
  });
});
