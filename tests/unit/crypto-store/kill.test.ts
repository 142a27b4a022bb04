import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { DeviceStore } from "../../../crypto-store/index.ts";
import { compileStore } from "./compiled-store.ts";
import { KEY, openThings, Scratch, settled } from "./stores.ts";

const CHILD = fileURLToPath(new URL("kill-child.mjs", import.meta.url));
let scratch: Scratch;
let index: string;

beforeAll(() => {
  scratch = new Scratch();
  index = compileStore(scratch.path);
});

afterAll(() => scratch.remove());

/** Runs the child until it prints `last`, kills it, and returns the numbers of the records that it said were committed. */
async function runAndKill(path: string, hold: number, last: string): Promise<number[]> {
  await DeviceStore.open({ path, key: KEY, mode: "create", migrations: [] }).close();
  const key = Buffer.from(KEY).toString("hex");
  const child = spawn(process.execPath, [CHILD, index, path, key, String(hold)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const committed: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (/^\d+$/.test(line)) committed.push(Number(line));
    if (line === last) child.kill("SIGKILL");
  }
  expect(await exited).toEqual([null, "SIGKILL"]);
  return committed;
}

it.each([
  ["while it commits", 100_000, "7"],
  ["after a checkpoint of the log", 100_000, "400"],
  ["while a transaction is open that has written more than fits the cache", 5, "open"],
])("keeps what was committed and nothing else when it is killed %s", async (name, hold, last) => {
  const path = scratch.file(`${name}.db`);
  const committed = await runAndKill(path, hold, last);
  expect(committed.length).toBeGreaterThan(0);

  const store = DeviceStore.open({ path, key: KEY, mode: "existing", migrations: [] });
  const database = await openThings(store);
  const keys = await settled(database.transaction("things").objectStore("things").getAllKeys());
  // A commit may have reached the disk before its number reached us.
  const all = [...committed, committed.length].slice(0, (keys as unknown[]).length);
  expect(keys).toEqual(all);
  expect(all.length).toBeGreaterThanOrEqual(committed.length);
  expect(await settled(database.transaction("things").objectStore("things").get(0))).toMatchObject({
    number: 0,
  });
  const check = await store.transaction((sqlite) =>
    sqlite.pragma("integrity_check", { simple: true }),
  );
  expect(check).toBe("ok");
  await store.close();
});
