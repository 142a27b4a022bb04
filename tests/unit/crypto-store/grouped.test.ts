import { randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initAsync, RoomId } from "@matrix-org/matrix-sdk-crypto-wasm";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DeviceStore, installIndexedDB } from "../../../crypto-store/index.ts";
import type { IDBDatabase } from "../../../crypto-store/indexeddb/idb-database.ts";
import { megolmMessageIndex } from "../../../proxy/matrix/megolm-message.ts";
import { KeyServer, openMachine, ROOM, shareRoomKey } from "./engine-pair.ts";
import { completed, openThings, settled } from "./stores.ts";

const KEY = randomBytes(32);
let directory: string;
let store: DeviceStore;
let copies: DeviceStore[];

beforeAll(async () => {
  installIndexedDB();
  await initAsync();
});

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kirjava-grouped-"));
  copies = [];
  store = DeviceStore.open({ path: file("live"), key: KEY, mode: "create", migrations: [] });
});

afterEach(async () => {
  await Promise.all([store, ...copies].map((open) => open.close()));
  rmSync(directory, { recursive: true });
});

function file(name: string): string {
  return join(directory, `${name}.db`);
}

/** What a crash at this moment would leave: the files as they are, opened anew. */
function afterCrash(): DeviceStore {
  const name = `copy-${copies.length}`;
  for (const suffix of ["", "-wal"]) {
    // A store that was closed has no log any more.
    if (existsSync(file("live") + suffix)) cpSync(file("live") + suffix, file(name) + suffix);
  }
  const copy = DeviceStore.open({ path: file(name), key: KEY, mode: "existing", migrations: [] });
  copies.push(copy);
  return copy;
}

async function put(database: IDBDatabase, key: string, end: "commit" | "abort"): Promise<void> {
  const transaction = database.transaction("things", "readwrite");
  const request = transaction.objectStore("things").put({ key }, key);
  await settled(request);
  if (end === "abort") {
    const over = completed(transaction).catch(() => undefined);
    transaction.abort();
    await over;
  } else {
    await completed(transaction);
  }
}

async function keysIn(open: DeviceStore): Promise<unknown> {
  const database = await openThings(open);
  const keys = database.transaction("things").objectStore("things").getAllKeys();
  return settled(keys);
}

describe("atomic work", () => {
  const countNotes = (open: DeviceStore): Promise<unknown> =>
    open.transaction((database) => database.prepare("SELECT count(*) FROM note").pluck().get());

  it("is all there after a crash, or not at all", async () => {
    const database = await openThings(store);
    await store.transaction((sqlite) => sqlite.exec("CREATE TABLE note (text TEXT)"));
    await store.atomically(async (write) => {
      await put(database, "a", "commit");
      await write((sqlite) => sqlite.prepare("INSERT INTO note VALUES ('b')").run());
      const crashed = afterCrash();
      expect([await keysIn(crashed), await countNotes(crashed)]).toEqual([[], 0]);
    });
    const crashed = afterCrash();
    expect([await keysIn(crashed), await countNotes(crashed)]).toEqual([["a"], 1]);
  });

  it("is not cut in two by a transaction, a group or settled() of somebody else", async () => {
    const database = await openThings(store);
    const order: string[] = [];
    const others: Promise<unknown>[] = [];
    await store.atomically(async () => {
      await put(database, "a", "commit");
      others.push(
        store.transaction(() => undefined).then(() => order.push("transaction")),
        store.grouped(() => put(database, "b", "commit")).then(() => order.push("group")),
        store.settled().then(() => order.push("settled")),
      );
      await put(database, "c", "commit");
      expect(await keysIn(afterCrash())).toEqual([]);
      order.push("over");
    });
    await Promise.all(others);
    expect(order[0]).toBe("over");
    expect(await keysIn(afterCrash())).toEqual(["a", "b", "c"]);
  });

  it("lets go when it fails", async () => {
    const database = await openThings(store);
    const failing = store.atomically(async () => {
      await put(database, "a", "commit");
      throw new Error("no");
    });
    await expect(failing).rejects.toThrow("no");
    await put(database, "b", "commit");
    expect(await keysIn(afterCrash())).toEqual(["a", "b"]);
  });

  it("is refused while another is under way", async () => {
    await store.atomically(async () => {
      const second = store.atomically(() => Promise.resolve());
      await expect(second).rejects.toThrow("expected one atomic work at a time");
    });
  });
});

describe("grouped transactions", () => {
  it("are durable when the group ends, not before", async () => {
    const database = await openThings(store);
    await store.grouped(async () => {
      await put(database, "a", "commit");
      await put(database, "b", "commit");
      expect(await keysIn(afterCrash())).toEqual([]);
    });
    expect(await keysIn(afterCrash())).toEqual(["a", "b"]);
  });

  it("undo only their own work when one aborts", async () => {
    const database = await openThings(store);
    await store.grouped(async () => {
      await put(database, "kept", "commit");
      await put(database, "lost", "abort");
      await put(database, "kept too", "commit");
    });
    expect(await keysIn(afterCrash())).toEqual(["kept", "kept too"]);
  });

  it("are durable with an owner's transaction that comes in between, and with settled()", async () => {
    const database = await openThings(store);
    await store.grouped(async () => {
      await put(database, "a", "commit");
      await store.transaction(() => undefined);
      expect(await keysIn(afterCrash())).toEqual(["a"]);
      await put(database, "b", "commit");
      await store.settled();
      expect(await keysIn(afterCrash())).toEqual(["a", "b"]);
    });
  });

  it("keep what an owner's failing transaction found", async () => {
    const database = await openThings(store);
    await store.grouped(async () => {
      await put(database, "a", "commit");
      const failing = store.transaction(() => {
        throw new Error("no");
      });
      await expect(failing).rejects.toThrow("no");
    });
    expect(await keysIn(afterCrash())).toEqual(["a"]);
  });

  it("are durable where the work fails, and where the store is closed at once", async () => {
    const database = await openThings(store);
    const failing = store.grouped(async () => {
      await put(database, "a", "commit");
      throw new Error("no");
    });
    await expect(failing).rejects.toThrow("no");
    expect(await keysIn(afterCrash())).toEqual(["a"]);
    const closing = store.grouped(async () => {
      await put(database, "b", "commit");
      await store.close();
    });
    await closing;
    expect(await keysIn(afterCrash())).toEqual(["a", "b"]);
  });

  it("use no message index twice after a crash behind concurrent encrypts", async () => {
    const machine = await openMachine(store.mountName, "@alice:example.org", "ALICEDEV");
    const peerFile = { path: file("peer"), key: KEY, mode: "create", migrations: [] } as const;
    const peer = DeviceStore.open(peerFile);
    copies.push(peer);
    const receiver = await openMachine(peer.mountName, "@bob:example.org", "BOBDEV");
    await shareRoomKey(machine, receiver, new KeyServer());
    const indices = await store.grouped(() =>
      Promise.all(Array.from({ length: 30 }, () => encryptIndex(machine))),
    );
    expect(indices).toEqual(Array.from({ length: 30 }, (_, index) => index));
    const again = await openMachine(afterCrash().mountName, "@alice:example.org", "ALICEDEV");
    expect(await encryptIndex(again)).toBe(30);
    for (const open of [machine, receiver, again]) open.close();
  });
});

async function encryptIndex(
  machine: Awaited<ReturnType<typeof openMachine>>,
): Promise<number | null> {
  const text = await machine.encryptRoomEvent(new RoomId(ROOM), "m.room.message", "{}");
  return megolmMessageIndex((JSON.parse(text) as { ciphertext: string }).ciphertext);
}
