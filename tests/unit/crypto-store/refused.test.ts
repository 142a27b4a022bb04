import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DeviceStore } from "../../../crypto-store/index.ts";
import { IDBCursor } from "../../../crypto-store/indexeddb/idb-cursor.ts";
import { IDBDatabase } from "../../../crypto-store/indexeddb/idb-database.ts";
import { IDBFactory } from "../../../crypto-store/indexeddb/idb-factory.ts";
import { IDBIndex } from "../../../crypto-store/indexeddb/idb-index.ts";
import { IDBKeyRange } from "../../../crypto-store/indexeddb/idb-key-range.ts";
import { IDBObjectStore } from "../../../crypto-store/indexeddb/idb-object-store.ts";
import { IDBRequest } from "../../../crypto-store/indexeddb/idb-request.ts";
import { IDBTransaction } from "../../../crypto-store/indexeddb/idb-transaction.ts";
import { openThings, Scratch, settled } from "./stores.ts";

const DOCUMENT = readFileSync(new URL("../../../docs/crypto-store.md", import.meta.url), "utf8");

const METHODS: [{ readonly name: string; readonly prototype: object }, string][] = [
  [IDBFactory, "deleteDatabase"],
  [IDBFactory, "databases"],
  [IDBFactory, "cmp"],
  [IDBDatabase, "addEventListener"],
  [IDBTransaction, "addEventListener"],
  [IDBRequest, "addEventListener"],
  [IDBObjectStore, "getKey"],
  [IDBObjectStore, "getAllRecords"],
  [IDBObjectStore, "openKeyCursor"],
  [IDBObjectStore, "deleteIndex"],
  [IDBIndex, "getKey"],
  [IDBIndex, "getAllRecords"],
  [IDBIndex, "openKeyCursor"],
  [IDBCursor, "advance"],
  [IDBCursor, "continuePrimaryKey"],
  [IDBKeyRange, "includes"],
];

it.each(METHODS)(
  "refuses the method %o.%s, and the documentation lists it",
  ({ name, prototype }, method) => {
    const refused = Reflect.get(prototype, method) as () => void;
    expect(refused).toThrow(
      `${name}.${method} is not supported by this store: the crypto engine does not use it (see docs/crypto-store.md)`,
    );
    expect(refused).toThrow(expect.objectContaining({ name: "NotSupportedError" }));
    expect(DOCUMENT).toContain(`${name}.${method}`);
  },
);

describe("in an open database", () => {
  let scratch: Scratch;
  let store: DeviceStore;
  let database: IDBDatabase;

  beforeEach(async () => {
    scratch = new Scratch();
    store = scratch.open("create");
    database = await openThings(store);
  });

  afterEach(async () => {
    await store.close();
    scratch.remove();
  });

  const notSupported = expect.objectContaining({ name: "NotSupportedError" }) as Error;

  it.each([
    ["key paths", (upgraded: IDBDatabase) => upgraded.createObjectStore("a", { keyPath: "id" })],
    [
      "key generators",
      (upgraded: IDBDatabase) => upgraded.createObjectStore("a", { autoIncrement: true }),
    ],
    [
      "multiEntry indexes",
      (upgraded: IDBDatabase) =>
        upgraded.createObjectStore("a").createIndex("i", "p", { multiEntry: true }),
    ],
  ])("refuses %s, and the upgrade can go on", async (_, change) => {
    database.close();
    const request = new IDBFactory().open(`${store.mountName}::db`, 2);
    request.onupgradeneeded = () => {
      expect(() => change(request.result as IDBDatabase)).toThrow(notSupported);
    };
    expect(((await settled(request)) as IDBDatabase).version).toBe(2);
  });

  it("refuses dates and binary data as keys", () => {
    const things = database.transaction("things", "readwrite").objectStore("things");
    for (const key of [new Date(0), new Uint8Array(1), new ArrayBuffer(1), ["a", new Date(0)]]) {
      expect(() => things.put("value", key)).toThrow(notSupported);
      expect(() => things.get(key)).toThrow(notSupported);
    }
  });

  it("fails a request whose index key would be a date, and changes nothing", async () => {
    database.close();
    const upgrade = new IDBFactory().open(`${store.mountName}::db`, 2);
    upgrade.onupgradeneeded = () => {
      upgrade.transaction?.objectStore("things").createIndex("byWhen", "when");
    };
    const upgraded = (await settled(upgrade)) as IDBDatabase;
    const request = upgraded
      .transaction("things", "readwrite")
      .objectStore("things")
      .put({ when: new Date(0) }, 1);
    await expect(settled(request)).rejects.toMatchObject({ name: "NotSupportedError" });
    expect(await settled(upgraded.transaction("things").objectStore("things").count())).toBe(0);
  });

  it("refuses directions of a cursor other than ascending, and jumps", async () => {
    const transaction = database.transaction("things", "readwrite");
    const things = transaction.objectStore("things");
    for (const direction of ["nextunique", "prev", "prevunique"]) {
      expect(() => things.openCursor(null, direction)).toThrow(notSupported);
    }
    things.put("value", 1);
    const request = things.openCursor();
    const cursor = await new Promise<IDBCursor>((resolve) => {
      request.onsuccess = () => resolve(request.result as IDBCursor);
    });
    expect(() => cursor.continue(5)).toThrow(notSupported);
  });

  it("refuses values that cannot be cloned", () => {
    const things = database.transaction("things", "readwrite").objectStore("things");
    for (const value of [() => 1, Symbol("s"), new SharedArrayBuffer(1), { deep: () => 1 }]) {
      expect(() => things.put(value, 1)).toThrow(
        expect.objectContaining({ name: "DataCloneError" }) as Error,
      );
    }
  });
});
