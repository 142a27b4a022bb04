import { statSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DeviceStore } from "../../../crypto-store/index.ts";
import type { IDBDatabase } from "../../../crypto-store/indexeddb/idb-database.ts";
import { IDBFactory } from "../../../crypto-store/indexeddb/idb-factory.ts";
import { completed, openThings, Scratch, settled } from "./stores.ts";

let scratch: Scratch;
let store: DeviceStore;
let database: IDBDatabase;

beforeEach(async () => {
  scratch = new Scratch();
  store = scratch.open("create");
  await store.transaction((sqlite) => sqlite.exec("CREATE TABLE note (text TEXT) STRICT"));
  database = await openThings(store);
});

afterEach(async () => {
  await store.close();
  scratch.remove();
});

function notes(): Promise<unknown[]> {
  return store.transaction((sqlite) =>
    sqlite.prepare("SELECT text FROM note ORDER BY rowid").pluck().all(),
  );
}

function addNote(text: string): Promise<unknown> {
  return store.transaction((sqlite) => sqlite.prepare("INSERT INTO note VALUES (?)").run(text));
}

describe("the owner's transactions", () => {
  it("return what the work returns and keep what it wrote", async () => {
    expect(await store.transaction(() => 42)).toBe(42);
    await addNote("kept");
    await store.close();
    store = scratch.open("existing");
    expect(await notes()).toEqual(["kept"]);
  });

  it("undo everything when the work throws", async () => {
    const failure = new Error("no");
    const failing = store.transaction((sqlite) => {
      sqlite.prepare("INSERT INTO note VALUES ('lost')").run();
      throw failure;
    });
    await expect(failing).rejects.toBe(failure);
    expect(await notes()).toEqual([]);
  });

  it("refuse work that returns a promise, and undo it", async () => {
    const failing = store.transaction((sqlite) => {
      sqlite.prepare("INSERT INTO note VALUES ('lost')").run();
      return Promise.reject(new Error("never seen"));
    });
    await expect(failing).rejects.toThrow(/expected synchronous work, got a promise/);
    expect(await notes()).toEqual([]);
  });

  it("wait for the IndexedDB transactions before them, and those after wait for them", async () => {
    const order: string[] = [];
    const before = database.transaction("things", "readwrite");
    const things = before.objectStore("things");
    things.put("first", 1).onsuccess = () => {
      things.put("second", 1).onsuccess = () => order.push("before");
    };
    const own = store.transaction((sqlite) => {
      order.push(
        `own sees ${String(sqlite.prepare("SELECT count(*) FROM idb_record").pluck().get())}`,
      );
    });
    const after = database.transaction("things").objectStore("things").get(1);
    const read = settled(after).then((value) => order.push(`after sees ${String(value)}`));
    await Promise.all([completed(before), own, read]);
    expect(order).toEqual(["before", "own sees 1", "after sees second"]);
  });

  it("lose nothing when an IndexedDB transaction beside them aborts", async () => {
    const aborted = database.transaction("things", "readwrite");
    aborted.objectStore("things").put("lost", 1).onsuccess = () => aborted.abort();
    const added = addNote("kept");
    await expect(completed(aborted)).rejects.toThrow("aborted");
    await added;
    expect(await notes()).toEqual(["kept"]);
    expect(await settled(database.transaction("things").objectStore("things").count())).toBe(0);
  });
});

describe("closing", () => {
  it("lets running transactions finish first", async () => {
    const transaction = database.transaction("things", "readwrite");
    transaction.objectStore("things").put("kept", 1);
    const done = completed(transaction);
    await store.close();
    await done;
    store = scratch.open("existing");
    database = await openThings(store);
    expect(await settled(database.transaction("things").objectStore("things").get(1))).toBe("kept");
  });

  it("leaves dead connections behind, and names the reason", async () => {
    await store.close();
    expect(() => database.transaction("things")).toThrow("the connection is closed");
    await expect(store.transaction(() => 1)).rejects.toThrow(/the device store is closed/);
    await expect(store.checkpoint()).rejects.toThrow(/the device store is closed/);
    await expect(openThings(store)).rejects.toMatchObject({ name: "NotFoundError" });
  });

  it("can be asked for twice", async () => {
    await Promise.all([store.close(), store.close()]);
  });
});

it("empties the log at a checkpoint, after the transactions before it", async () => {
  const transaction = database.transaction("things", "readwrite");
  transaction.objectStore("things").put("x".repeat(100_000), 1);
  const log = `${scratch.file()}-wal`;
  expect(statSync(log).size).toBeGreaterThan(0);
  await store.checkpoint();
  expect(statSync(log).size).toBe(0);
  expect(await settled(database.transaction("things").objectStore("things").count())).toBe(1);
});

it("refuses a database under a name that is not mounted, and says what to do", async () => {
  const request = new IDBFactory().open("elsewhere::db");
  await expect(settled(request)).rejects.toMatchObject({
    name: "NotFoundError",
    message:
      'no device store is mounted for database "elsewhere::db": open it and prefix the name with its mountName',
  });
});

it("keeps databases of one file apart", async () => {
  const other = new IDBFactory().open(`${store.mountName}::other`, 3);
  other.onupgradeneeded = () => {
    (other.result as IDBDatabase).createObjectStore("things").put("other", 1);
  };
  const second = (await settled(other)) as IDBDatabase;
  expect(await settled(database.transaction("things").objectStore("things").count())).toBe(0);
  expect(await settled(second.transaction("things").objectStore("things").get(1))).toBe("other");
  expect([database.version, second.version]).toEqual([1, 3]);
});
