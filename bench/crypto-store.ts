/**
 * How fast the engine is on the crypto store: encrypts, decrypts, reopening. One core, `synchronous=FULL`, encrypted files.
 * The engine's own memory store is printed beside it: what is left is what the store costs.
 *
 * Run: `node dist/bench/crypto-store.js [messages per round] [rounds]`; TMPDIR chooses the disk.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  DecryptionSettings,
  DeviceId,
  DeviceLists,
  EncryptionSettings,
  initAsync,
  OlmMachine,
  RequestType,
  RoomId,
  StoreHandle,
  TrustRequirement,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { DeviceStore, installIndexedDB } from "../crypto-store/index.ts";

const ROOM = "!room:example.org";
const SENDER = "@sender:example.org";
const RECEIVER = "@receiver:example.org";
const [messages = 1000, rounds = 5] = process.argv.slice(2).map(Number);

interface Pair {
  readonly sender: OlmMachine;
  readonly receiver: OlmMachine;
}

async function openMachine(name: string | null, userId: string): Promise<OlmMachine> {
  const handle = await StoreHandle.open(name, null);
  const machine = await OlmMachine.initFromStore(
    new UserId(userId),
    new DeviceId("DEVICE"),
    handle,
  );
  handle.free();
  return machine;
}

/** Gives the receiver the sender's room key. */
async function introduce({ sender, receiver }: Pair): Promise<void> {
  const devices: Record<string, unknown> = {};
  let oneTimeKeys: Record<string, unknown> = {};
  for (const machine of [receiver, sender]) {
    const userId = machine.userId.toString();
    if (machine === sender) await sender.updateTrackedUsers([new UserId(RECEIVER)]);
    for (const request of await machine.outgoingRequests()) {
      let answer: unknown = { device_keys: devices, failures: {} };
      if (request.type === RequestType.KeysUpload) {
        const body = JSON.parse(request.body) as Record<string, Record<string, unknown>>;
        devices[userId] = { DEVICE: body["device_keys"] };
        if (machine === receiver) oneTimeKeys = body["one_time_keys"] ?? {};
        answer = { one_time_key_counts: { signed_curve25519: 50 } };
      }
      await machine.markRequestAsSent(request.id ?? "", request.type, JSON.stringify(answer));
    }
  }
  const claim = await sender.getMissingSessions([new UserId(RECEIVER)]);
  const [keyId = "", key] = Object.entries(oneTimeKeys)[0] ?? [];
  const claimed = { one_time_keys: { [RECEIVER]: { DEVICE: { [keyId]: key } } } };
  if (claim !== null) await sender.markRequestAsSent(claim.id, claim.type, JSON.stringify(claimed));
  const settings = new EncryptionSettings();
  settings.rotationPeriodMessages = 1_000_000_000n;
  for (const share of await sender.shareRoomKey(
    new RoomId(ROOM),
    [new UserId(RECEIVER)],
    settings,
  )) {
    const { messages: to } = JSON.parse(share.body) as {
      messages: Record<string, Record<string, unknown>>;
    };
    const event = { type: share.event_type, sender: SENDER, content: to[RECEIVER]?.["DEVICE"] };
    await sender.markRequestAsSent(share.id, share.type, "{}");
    const counts = new Map([["signed_curve25519", 50]]);
    await receiver.receiveSyncChanges(JSON.stringify([event]), new DeviceLists(), counts);
  }
}

async function encryptMany(sender: OlmMachine): Promise<string[]> {
  const contents: string[] = [];
  for (let i = 0; i < messages; i += 1) {
    const body = JSON.stringify({ msgtype: "m.text", body: `message ${i}` });
    contents.push(await sender.encryptRoomEvent(new RoomId(ROOM), "m.room.message", body));
  }
  return contents;
}

async function decryptMany(receiver: OlmMachine, contents: readonly string[]): Promise<void> {
  for (const [i, content] of contents.entries()) {
    const event = {
      type: "m.room.encrypted",
      sender: SENDER,
      event_id: `$${i}`,
      room_id: ROOM,
      origin_server_ts: i,
      content: JSON.parse(content) as unknown,
    };
    const settings = new DecryptionSettings(TrustRequirement.Untrusted);
    await receiver.decryptRoomEvent(JSON.stringify(event), new RoomId(ROOM), settings);
  }
}

interface Cost {
  readonly elapsedMs: number;
  /** Processor time of the whole process: what is left of the elapsed time is waiting for the disk or for a busy machine. */
  readonly processorMs: number;
}

async function measure(work: () => Promise<unknown>): Promise<Cost> {
  const start = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return { elapsedMs: performance.now() - start, processorMs: (user + system) / 1000 };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

function describe(what: string, costs: readonly Cost[]): string {
  const perSecond = (messages * 1000) / median(costs.map((cost) => cost.elapsedMs));
  const processorMs = median(costs.map((cost) => cost.processorMs)) / messages;
  return `${perSecond.toFixed(0)} ${what}/s (${processorMs.toFixed(2)} ms processor each)`;
}

async function run(label: string, open: (userId: string) => Promise<OlmMachine>): Promise<void> {
  const encrypts: Cost[] = [];
  const decrypts: Cost[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const pair = { sender: await open(SENDER), receiver: await open(RECEIVER) };
    await introduce(pair);
    let contents: string[] = [];
    encrypts.push(await measure(async () => (contents = await encryptMany(pair.sender))));
    decrypts.push(await measure(() => decryptMany(pair.receiver, contents)));
    pair.sender.close();
    pair.receiver.close();
  }
  console.log(`${label}: ${describe("encrypts", encrypts)}, ${describe("decrypts", decrypts)}`);
}

installIndexedDB();
await initAsync();
const directory = mkdtempSync(join(tmpdir(), "kirjava-bench-"));
const stores: DeviceStore[] = [];
try {
  const key = randomBytes(32);
  let files = 0;
  await run("crypto store", async (userId) => {
    files += 1;
    const path = join(directory, `${files}.db`);
    const store = DeviceStore.open({ path, key, mode: "create", migrations: [] });
    stores.push(store);
    return openMachine(store.mountName, userId);
  });
  await run("memory store", (userId) => openMachine(null, userId));
  await Promise.all(stores.splice(0).map((store) => store.close()));
  const reopens: Cost[] = [];
  for (let i = 0; i < 50; i += 1) {
    reopens.push(
      await measure(async () => {
        const path = join(directory, "1.db");
        const store = DeviceStore.open({ path, key, mode: "existing", migrations: [] });
        stores.push(store);
        (await openMachine(store.mountName, SENDER)).close();
      }),
    );
    await stores.pop()?.close();
  }
  console.log(
    `reopen: ${median(reopens.map((cost) => cost.elapsedMs)).toFixed(1)} ms (median of ${reopens.length})`,
  );
} finally {
  await Promise.all(stores.map((store) => store.close()));
  rmSync(directory, { recursive: true });
}
