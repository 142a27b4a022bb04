import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DeviceStore, openDatabase, type Migration } from "../../../crypto-store/index.ts";
import { completed, failureOf, KEY, openThings, Scratch, settled } from "./stores.ts";

let scratch: Scratch;

beforeEach(() => {
  scratch = new Scratch();
});

afterEach(() => scratch.remove());

async function createWithRecord(value: unknown = "value"): Promise<void> {
  const store = scratch.open("create");
  const database = await openThings(store);
  const transaction = database.transaction("things", "readwrite");
  transaction.objectStore("things").put(value, "key");
  await completed(transaction);
  await store.close();
}

describe("opening a store file", () => {
  it("refuses to create a store where one is, and leaves it as it is", async () => {
    await createWithRecord();
    const before = readFileSync(scratch.file());
    const failure = failureOf(() => scratch.open("create"));
    expect(failure?.code).toBe("STORE_EXISTS");
    expect(failure?.message).toContain(scratch.file());
    expect(readFileSync(scratch.file())).toEqual(before);
  });

  it("refuses to create a store beside the log of a lost one", () => {
    writeFileSync(`${scratch.file()}-wal`, "left behind");
    expect(failureOf(() => scratch.open("create"))?.code).toBe("STORE_EXISTS");
  });

  it("refuses to open a store that is not there, and makes no file", () => {
    const failure = failureOf(() => scratch.open("existing"));
    expect(failure?.code).toBe("STORE_MISSING");
    expect(failure?.message).toMatch(/missing: restore it from a backup/);
    expect(statSync(scratch.file(), { throwIfNoEntry: false })).toBeUndefined();
  });

  it("tells a wrong key, and opens with the right one afterwards", async () => {
    await createWithRecord();
    const before = readFileSync(scratch.file());
    const failure = failureOf(() => scratch.open("existing", "device.db", new Uint8Array(32)));
    expect(failure?.code).toBe("STORE_WRONG_KEY");
    expect(failure?.message).toContain(scratch.file());
    expect(readFileSync(scratch.file())).toEqual(before);
    await scratch.open("existing").close();
  });

  it("refuses a key of the wrong length", () => {
    expect(() => scratch.open("create", "device.db", new Uint8Array(31))).toThrow(
      new RangeError("expected a store key of 32 bytes, got 31"),
    );
  });

  it.each([
    ["empty", 0],
    ["cut in the middle of a page", 5000],
    ["cut after its first page", 4096],
  ])("tells a file that is %s", async (_, sizeBytes) => {
    await createWithRecord("x".repeat(20_000));
    truncateSync(scratch.file(), sizeBytes);
    const failure = failureOf(() => scratch.open("existing"));
    expect(failure?.code).toBe("STORE_CORRUPT");
    expect(failure?.message).toMatch(/restore it from a backup/);
    expect(statSync(scratch.file()).size).toBe(sizeBytes);
  });

  it("tells a file of another kind", () => {
    openDatabase({
      path: scratch.file(),
      key: KEY,
      mode: "create",
      applicationId: 5,
      migrations: [],
    }).close();
    const failure = failureOf(() => scratch.open("existing"));
    expect(failure?.code).toBe("STORE_CORRUPT");
    expect(failure?.message).toMatch(/a store of another kind/);
  });

  it("refuses a symbolic link, even to a store", async () => {
    await createWithRecord();
    symlinkSync(scratch.file(), scratch.file("link.db"));
    expect(failureOf(() => scratch.open("existing", "link.db"))?.code).toBe("STORE_UNSAFE");
  });

  it("keeps its files from other users, and takes rights away that a restored file brought along", async () => {
    const store = scratch.open("create");
    expect(statSync(scratch.file()).mode & 0o777).toBe(0o600);
    await openThings(store);
    expect(statSync(`${scratch.file()}-wal`).mode & 0o777).toBe(0o600);
    await store.close();
    chmodSync(scratch.file(), 0o644);
    await scratch.open("existing").close();
    expect(statSync(scratch.file()).mode & 0o777).toBe(0o600);
  });

  it("refuses a second connection to an open store", async () => {
    await createWithRecord();
    const store = scratch.open("existing");
    const failure = failureOf(() => scratch.open("existing"));
    expect(failure?.code).toBe("STORE_LOCKED");
    await store.close();
    await scratch.open("existing").close();
  });

  it("refuses another process while a store is open", async () => {
    const store = scratch.open("create");
    const script = `
      import Sqlite from "better-sqlite3";
      const database = new Sqlite(process.argv[1], { timeout: 0 });
      database.pragma('key = "raw:${Buffer.from(KEY).toString("hex")}"');
      try { database.prepare("SELECT count(*) FROM sqlite_schema").get(); console.log("read"); }
      catch (error) { console.log(error.code); }`;
    const child = spawnSync(
      process.execPath,
      ["--input-type=module", "-e", script, scratch.file()],
      {
        encoding: "utf8",
      },
    );
    expect(child.stdout.trim()).toBe("SQLITE_BUSY");
    await store.close();
  });

  it("reports a damaged page when it comes to it, and aborts only what touched it", async () => {
    await createWithRecord("x".repeat(200_000));
    const bytes = readFileSync(scratch.file());
    bytes.fill(0xaa, bytes.length - 8192);
    writeFileSync(scratch.file(), bytes);
    const store = scratch.open("existing");
    const database = await openThings(store);
    const transaction = database.transaction("things");
    const request = transaction.objectStore("things").get("key");
    await expect(settled(request)).rejects.toMatchObject({ name: "UnknownError" });
    expect(request.error?.message).toContain(scratch.file());
    expect(await settled(database.transaction("things").objectStore("things").count())).toBe(1);
    await store.close();
  });
});

describe("migrations", () => {
  const first: Migration = { version: 1, sql: "CREATE TABLE note (text TEXT)" };
  const second: Migration = { version: 2, sql: "ALTER TABLE note ADD COLUMN at INTEGER" };

  function open(mode: "create" | "existing", migrations: readonly Migration[]): DeviceStore {
    return DeviceStore.open({ path: scratch.file(), key: KEY, mode, migrations });
  }

  it("apply what is missing, once, in order", async () => {
    await open("create", [first]).close();
    const store = open("existing", [second, first]);
    await store.transaction((database) =>
      database.prepare("INSERT INTO note VALUES ('a', 1)").run(),
    );
    await store.close();
    const again = open("existing", [first, second]);
    const rows = await again.transaction((database) =>
      database.prepare("SELECT * FROM note").all(),
    );
    expect(rows).toEqual([{ text: "a", at: 1 }]);
    await again.close();
  });

  it("change nothing when one of them fails", async () => {
    await open("create", [first]).close();
    expect(() => open("existing", [first, second, { version: 3, sql: "NONSENSE" }])).toThrow(
      /syntax error/,
    );
    const store = open("existing", [first]);
    await store.transaction((database) => database.prepare("INSERT INTO note VALUES ('a')").run());
    await store.close();
  });

  it("refuse a file that a newer program wrote", async () => {
    await open("create", [first, second]).close();
    const failure = failureOf(() => open("existing", [first]));
    expect(failure?.code).toBe("STORE_TOO_NEW");
    expect(failure?.message).toMatch(/has schema version 2, this program knows versions up to 1/);
  });

  it("refuse IndexedDB tables that a newer program wrote", async () => {
    const store = open("create", []);
    await store.transaction((database) => database.exec("UPDATE idb_schema SET version = 99"));
    await store.close();
    expect(failureOf(() => open("existing", []))?.code).toBe("STORE_TOO_NEW");
  });
});

it("shows no names, keys or values in the bytes of its files", async () => {
  const secrets = [
    "!room:example.org",
    "@user:example.org",
    "secret value",
    "things",
    "idb_record",
    "SQLite format",
  ];
  const store = scratch.open("create");
  const database = await openThings(store);
  const transaction = database.transaction("things", "readwrite");
  for (const secret of secrets) transaction.objectStore("things").put(secret, secret);
  await completed(transaction);
  const open = scratch.bytes();
  await store.close();
  copyFileSync(scratch.file(), scratch.file("copy.db"));
  const closed = scratch.bytes();
  for (const bytes of [open, closed]) {
    expect(bytes.length).toBeGreaterThan(20_000);
    for (const secret of secrets) {
      expect(bytes.includes(secret)).toBe(false);
      expect(bytes.includes(Buffer.from(secret, "utf16le"))).toBe(false);
    }
  }
});
