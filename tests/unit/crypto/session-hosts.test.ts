import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Playground, startPlayground } from "../../../playground/index.ts";
import type { HostStart, ReadResult } from "../../../proxy/crypto/protocol.ts";
import { type OpeningOf, SessionHosts } from "../../../proxy/crypto/session-hosts.ts";
import type { DeviceAddress, RoomId } from "../../../proxy/matrix/identifiers.ts";
import { address, Place } from "../accounts/section-fixture.ts";
import { type Client, register } from "../playground/api.ts";
import { silent } from "./fixture.ts";

const roomId = "!room:playground" as RoomId;
const poison = "what the engine fails of";

let playground: Playground;
let place: Place;
let hosts: SessionHosts;
let client: Client;
let device: DeviceAddress;
let opened: string[];
let file: string;

beforeEach(async () => {
  playground = await startPlayground({});
  place = new Place();
  client = await register(playground, "alice");
  device = address(client.userId, client.deviceId);
  opened = [];
  file = "device.db";
});
afterEach(async () => {
  await hosts.stop();
  await playground.stop();
  place.remove();
  delete process.env["KIRJAVA_POISON"];
});

function start(threads: number): void {
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
  const options: HostStart = { sections: [section], logLevel: "silent", logFormat: "json" };
  hosts = new SessionHosts(options, threads, silent);
}

/** Opens the device's store under the name of the moment; it is new the first time. */
const openingOf: OpeningOf = (of, calls) => {
  const isNew = !opened.includes(file);
  opened.push(file);
  return calls.open({
    ...of,
    section: "s",
    token: client.token,
    path: join(place.root, file),
    key: new Uint8Array(32).fill(3),
    isNew,
    generation: 0,
    rolledBack: false,
    foreign: false,
  });
};

/** Has an event decrypted for which no key is there. */
function read(eventId: string, ciphertext = "AwgA"): Promise<ReadResult> {
  const event = {
    type: "m.room.encrypted",
    event_id: eventId,
    sender: "@bob:playground",
    origin_server_ts: 1,
    content: { algorithm: "m.megolm.v1.aes-sha2", session_id: "s", ciphertext },
  };
  const body = Buffer.from(JSON.stringify(event));
  const args = { shape: "event", body, roomId, filter: null } as const;
  return hosts.call("read", device, openingOf, [args]);
}

describe.each([0, 1])("SessionHosts with %d threads", (threads) => {
  it("opens a device once for calls that come together", async () => {
    start(threads);
    const results = await Promise.all(["$1", "$2", "$3"].map((id) => read(id)));
    expect(results).toHaveLength(3);
    expect(opened).toEqual(["device.db"]);
    expect(hosts.isOpen(device)).toBe(true);
  });

  it("opens the new store after the old one was closed, also while it closes", async () => {
    start(threads);
    const first = await hosts.open(device, openingOf);
    const closing = hosts.close(device);
    file = "second.db";
    const [second] = await Promise.all([hosts.open(device, openingOf), closing]);
    expect(second.ed25519).not.toBe(first.ed25519);
    rmSync(join(place.root, "device.db"));
    await read("$1");
    expect(opened).toEqual(["device.db", "second.db"]);
  });

  it("is the same device when its store is opened again", async () => {
    start(threads);
    const first = await hosts.open(device, openingOf);
    await hosts.close(device);
    expect(hosts.isOpen(device)).toBe(false);
    const second = await hosts.open(device, openingOf);
    expect(second.ed25519).toBe(first.ed25519);
    expect(second.generation).toBe(first.generation + 1);
  });

  it("tries again to open a store that could not be opened", async () => {
    start(threads);
    const failing: OpeningOf = () => Promise.reject(new Error("not now"));
    await expect(hosts.open(device, failing)).rejects.toThrow("not now");
    await hosts.open(device, openingOf);
    expect(opened).toEqual(["device.db"]);
  });
});

describe("SessionHosts when a thread's engine fails", () => {
  beforeEach(() => {
    process.env["KIRJAVA_POISON"] = poison;
    start(1);
  });

  it("makes the calls again in a new thread and quarantines what it was", async () => {
    const { ed25519 } = await hosts.open(device, openingOf);
    const [bad, good] = await Promise.all([read("$bad", poison), read("$good")]);
    expect(Buffer.from(bad.body).toString()).toContain(poison);
    expect(Buffer.from(good.body).toString()).toContain("$good");
    expect((await hosts.open(device, openingOf)).ed25519).toBe(ed25519);
  });

  it("gives a device a thread of its own after three times, with the same store", async () => {
    const { ed25519 } = await hosts.open(device, openingOf);
    await read("$one", poison);
    await read("$two", poison);
    expect(opened.length).toBeGreaterThanOrEqual(4);
    expect((await hosts.open(device, openingOf)).ed25519).toBe(ed25519);
    // Others go on in the thread that they share.
    const bob = await register(playground, "bob");
    client = bob;
    file = "bob.db";
    const other = await hosts.open(address(bob.userId, bob.deviceId), openingOf);
    expect(other.ed25519).not.toBe(ed25519);
  });
});
