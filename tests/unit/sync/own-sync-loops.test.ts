import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Playground, startPlayground } from "../../../playground/index.ts";
import { Accounts } from "../../../proxy/accounts/accounts.ts";
import type { SectionDatabase } from "../../../proxy/accounts/section-database.ts";
import { SessionHosts } from "../../../proxy/crypto/session-hosts.ts";
import { Homeserver } from "../../../proxy/homeserver/homeserver.ts";
import type { DeviceAddress } from "../../../proxy/matrix/identifiers.ts";
import { MediaKeys } from "../../../proxy/media/media-keys.ts";
import { EncryptionPins } from "../../../proxy/rooms/encryption-pins.ts";
import { OwnSyncLoops } from "../../../proxy/sync/own-sync-loops.ts";
import { SectionSessions } from "../../../proxy/sync/section-sessions.ts";
import { address, Place } from "../accounts/section-fixture.ts";
import { settle, silent, TestClock } from "../crypto/fixture.ts";
import { register } from "../playground/api.ts";

let playground: Playground;
let place: Place;
let database: SectionDatabase;
let homeserver: Homeserver;
let hosts: SessionHosts;
let loops: OwnSyncLoops;
let clock: TestClock;
let device: DeviceAddress;
let accounts: Accounts;

beforeEach(async () => {
  playground = await startPlayground({});
  place = new Place();
  database = place.open();
  clock = new TestClock();
  const url = new URL(playground.url);
  homeserver = new Homeserver({ url, tls: { verify: true }, timeoutMs: 30_000 });
  accounts = new Accounts(database, homeserver, clock, silent);
  const section = {
    name: "s",
    homeserver: playground.url,
    verifyTls: true,
    upstreamProxy: null,
    upstreamTimeoutMs: 30_000,
    trust: "all",
    freshness: "barrier",
    sendDeadlineMs: 30_000,
    lateKeyTimeoutMs: 30_000,
    markDecrypted: true,
    hideEncryption: false,
  } as const;
  hosts = new SessionHosts(
    { sections: [section], logLevel: "silent", logFormat: "json" },
    0,
    silent,
  );
  const pins = new EncryptionPins(database, clock);
  const common = { accounts, homeserver, logger: silent };
  const mediaKeys = new MediaKeys(database, clock);
  const parts = { ...common, section: "s", hosts, database, pins, mediaKeys };
  const sessions = new SectionSessions(parts);
  loops = new OwnSyncLoops({ ...common, sessions, clock });
  const client = await register(playground, "alice");
  device = address(client.userId, client.deviceId);
  accounts.learn({ ...device, token: client.token });
});
afterEach(async () => {
  await loops.stop();
  await hosts.stop();
  await homeserver.close();
  database.close();
  place.remove();
  await playground.stop();
});

/** Every /sync from now on has this end. */
const syncs = (statusCode: number, errcode = "M_UNKNOWN", fields: Record<string, unknown> = {}) =>
  playground.faults.add({
    path: /\/sync\?/,
    action: { type: "fail", statusCode, body: { errcode, ...fields } },
  });

describe("OwnSyncLoops", () => {
  it("backs off while the homeserver fails, up to a minute", async () => {
    syncs(500);
    loops.ensure(device);
    const delays: number[] = [];
    for (let round = 0; round < 9; round++) {
      clock.advance(clock.due[0] ?? 0);
      await clock.pending(1);
      delays.push(clock.due[0] ?? 0);
    }
    expect(delays.map((ms) => ms / 1_000)).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
  });

  it("stops where the access token is no longer valid, after failures too", async () => {
    const failing = syncs(500);
    loops.ensure(device);
    clock.advance(0);
    await clock.pending(1);
    failing.remove();
    const refused = syncs(401, "M_UNKNOWN_TOKEN", { soft_logout: true });
    clock.advance(1_000);
    await refused.done();
    while (accounts.latestToken(device) !== null) await settle();
    // Whatever the end of the round leads to needs no I/O.
    for (let turn = 0; turn < 10; turn++) await settle();
    expect(refused.hits).toBe(1);
    expect(clock.due).toEqual([]);
  });

  it("steps aside for the client, and takes over when it has been silent for a while", async () => {
    const held = playground.faults.add({
      path: /\/sync\?/,
      action: { type: "delay", until: new Promise(() => undefined) },
    });
    loops.ensure(device);
    clock.advance(0);
    await held.hit();
    await loops.whileClientSyncs(device, async () => {
      loops.ensure(device);
      expect(clock.due).toEqual([]);
      await loops.whileClientSyncs(device, () => Promise.resolve());
      expect(clock.due).toEqual([]);
    });
    expect(clock.due).toEqual([5_000]);
    clock.advance(4_999);
    expect(held.hits).toBe(1);
    clock.advance(1);
    await held.hit(2);
    held.remove();
  });

  it("gives requests growing numbers, over a restart of the daemon too", () => {
    const first = loops.begin(device);
    const second = loops.begin(device);
    expect(second.serial).toBeGreaterThan(first.serial);
    expect(first.serial).toBeGreaterThanOrEqual(clock.now());
    expect(loops.oldestSerial(device)).toBe(first.serial);
    first.end();
    expect(loops.oldestSerial(device)).toBe(second.serial);
    second.end();
  });
});
