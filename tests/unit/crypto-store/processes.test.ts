import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, expect, it } from "vitest";
import { compileStore } from "./compiled-store.ts";
import { Scratch } from "./stores.ts";

let scratch: Scratch;
let index: string;

beforeAll(() => {
  scratch = new Scratch();
  index = compileStore(scratch.path);
});

afterAll(() => scratch.remove());

/** A program that has the store installed and `database` open on a new file. */
function program(name: string, body: string): string {
  return `
    const { DeviceStore, installIndexedDB } = await import(${JSON.stringify(index)});
    installIndexedDB();
    installIndexedDB();
    const path = ${JSON.stringify(scratch.file(name))};
    const store = DeviceStore.open({ path, key: new Uint8Array(32), mode: "create", migrations: [] });
    const request = indexedDB.open(store.mountName + "::db", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("things");
    await new Promise((resolve) => (request.onsuccess = resolve));
    const database = request.result;
    ${body}`;
}

it("defines the classes that the engine checks for, in a worker too", async () => {
  const body = `
    const { parentPort } = await import("node:worker_threads");
    const get = database.transaction("things").objectStore("things").openCursor();
    parentPort.postMessage([
      request instanceof IDBOpenDBRequest, request instanceof IDBRequest, database instanceof IDBDatabase,
      get instanceof IDBRequest, IDBKeyRange.bound(1, 2) instanceof IDBKeyRange,
      IDBCursorWithValue.prototype instanceof IDBCursor, indexedDB instanceof IDBFactory,
    ]);
    await store.close();`;
  const source = `data:text/javascript,${encodeURIComponent(program("worker.db", body))}`;
  const worker = new Worker(new URL(source));
  const [answers] = (await once(worker, "message")) as [boolean[]];
  expect(answers).toEqual([true, true, true, true, true, true, true]);
  await worker.terminate();
});

it("aborts the transaction of a handler that throws, and reports the exception as uncaught", () => {
  const body = `
    process.on("uncaughtException", (error) => console.log("uncaught: " + error.message));
    const transaction = database.transaction("things", "readwrite");
    transaction.objectStore("things").put("lost", 1).onsuccess = () => { throw new Error("trap"); };
    await new Promise((resolve) => (transaction.onabort = resolve));
    const count = database.transaction("things").objectStore("things").count();
    await new Promise((resolve) => (count.onsuccess = resolve));
    console.log(transaction.error.name, count.result);
    await store.close();`;
  const child = spawnSync(
    process.execPath,
    ["--input-type=module", "-e", program("throws.db", body)],
    {
      encoding: "utf8",
    },
  );
  expect(child.stdout).toBe("uncaught: trap\nAbortError 0\n");
});
