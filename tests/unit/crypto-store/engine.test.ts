import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initAsync } from "@matrix-org/matrix-sdk-crypto-wasm";
import { afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { DeviceStore, installIndexedDB } from "../../../crypto-store/index.ts";
import { decryptText, encryptText, KeyServer, openMachine, shareRoomKey } from "./engine-pair.ts";

let directory: string;

beforeAll(async () => {
  installIndexedDB();
  await initAsync();
});

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kirjava-engine-"));
});

afterEach(() => rmSync(directory, { recursive: true }));

const KEYS = { alice: randomBytes(32), bob: randomBytes(32) };

function openStore(name: "alice" | "bob", mode: "create" | "existing"): DeviceStore {
  return DeviceStore.open({
    path: join(directory, `${name}.db`),
    key: KEYS[name],
    mode,
    migrations: [],
  });
}

it("carries the engine through upload, key sharing, messages, close and reopen", async () => {
  const stores = { alice: openStore("alice", "create"), bob: openStore("bob", "create") };
  const server = new KeyServer();
  const alice = await openMachine(stores.alice.mountName, "@alice:example.org", "ALICEDEV");
  const bob = await openMachine(stores.bob.mountName, "@bob:example.org", "BOBDEV");
  const identity = bob.identityKeys.ed25519.toBase64();
  await shareRoomKey(alice, bob, server);
  const first = await encryptText(alice, "first");
  expect(await decryptText(bob, first)).toBe("first");

  alice.close();
  bob.close();
  await Promise.all([stores.alice.close(), stores.bob.close()]);

  const reopened = { alice: openStore("alice", "existing"), bob: openStore("bob", "existing") };
  const aliceAgain = await openMachine(reopened.alice.mountName, "@alice:example.org", "ALICEDEV");
  const bobAgain = await openMachine(reopened.bob.mountName, "@bob:example.org", "BOBDEV");
  expect(bobAgain.identityKeys.ed25519.toBase64()).toBe(identity);
  expect(await decryptText(bobAgain, first)).toBe("first");
  const second = await encryptText(aliceAgain, "second");
  expect(JSON.parse(second)).toMatchObject({
    content: {
      session_id: (JSON.parse(first) as { content: { session_id: string } }).content.session_id,
    },
  });
  expect(await decryptText(bobAgain, second)).toBe("second");
  aliceAgain.close();
  bobAgain.close();
  await Promise.all([reopened.alice.close(), reopened.bob.close()]);
});
