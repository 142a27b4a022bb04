import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DeviceFiles } from "../../../proxy/accounts/device-files.ts";
import type { SectionDatabase } from "../../../proxy/accounts/section-database.ts";
import { ManualClock, Place, address, storeErrorOf } from "./section-fixture.ts";

const alice = address("@alice:example.org", "A");
const aliceToo = address("@alice:example.org", "A2");

let place: Place;
let database: SectionDatabase;
let files: DeviceFiles;
beforeEach(() => {
  place = new Place();
  open();
});
afterEach(() => {
  database.close();
  place.remove();
});

function open(): void {
  database = place.open();
  files = new DeviceFiles(database, new ManualClock());
}

function reopen(): void {
  database.close();
  open();
}

/** What a session does on its first opening: makes the file, then raises its generation. */
function use(device = alice): string {
  const { path } = files.fileFor(device);
  for (const end of ["", "-wal", "-shm"]) writeFileSync(path + end, "pages");
  files.raise(device, 1);
  return path;
}

describe("DeviceFiles.fileFor", () => {
  it("gives each device a random name and key of its own, and keeps them", () => {
    const [first, second] = [files.fileFor(alice), files.fileFor(aliceToo)];
    expect(first).toMatchObject({ isNew: true, generation: 0, state: "active", recheck: false });
    expect(first.path).toMatch(/\/data\/devices\/[0-9a-f]{32}\.db$/);
    expect(first.key).toHaveLength(32);
    expect(second.path).not.toBe(first.path);
    expect(Buffer.from(second.key).equals(first.key)).toBe(false);
    reopen();
    expect(files.fileFor(alice)).toEqual(first);
  });

  it("tells (user, device) pairs apart whose texts run together", () => {
    const [a, b] = [address("@a:x", "YZ"), address("@a:xY", "Z")];
    expect(files.fileFor(a).path).not.toBe(files.fileFor(b).path);
  });

  it("says that the file is new until it is there", () => {
    const { path } = files.fileFor(alice);
    expect(files.fileFor(alice).isNew).toBe(true);
    writeFileSync(path, "pages");
    expect(files.fileFor(alice).isNew).toBe(false);
  });

  it("refuses to make a store anew that was used before", () => {
    const path = use();
    rmSync(path);
    const error = storeErrorOf(() => files.fileFor(alice));
    expect(error.code).toBe("STORE_MISSING");
    expect(error.message).toBe(
      `${path}: the store of @alice:example.org A is missing: restore it from a backup, or log this device out and in again`,
    );
    expect(existsSync(path)).toBe(false);
  });

  it("refuses a wrapped key that was moved from another device", () => {
    use(alice);
    use(aliceToo);
    database.connection.exec(
      "UPDATE device_file SET wrapped_key = (SELECT wrapped_key FROM device_file WHERE device_id = 'A2')",
    );
    const error = storeErrorOf(() => files.fileFor(alice));
    expect(error.code).toBe("STORE_CORRUPT");
    expect(error.message).toBe(
      `${join(place.data, "section.db")}: the wrapped key of device store does not open (damaged): restore the database from a backup`,
    );
  });
});

describe("DeviceFiles.raise", () => {
  it("raises and never lowers, durably", () => {
    use();
    files.raise(alice, 5);
    files.raise(alice, 3);
    reopen();
    expect(files.fileFor(alice).generation).toBe(5);
  });
});

describe("the state of a device", () => {
  it("is null for a device never seen", () => {
    expect(files.stateOf(alice)).toBeNull();
  });

  it("is kept over a restart", () => {
    files.setState(alice, "self-encrypting");
    files.fileFor(aliceToo);
    files.setState(aliceToo, "foreign");
    reopen();
    expect(files.stateOf(alice)).toBe("self-encrypting");
    expect(files.fileFor(aliceToo).state).toBe("foreign");
    files.setState(aliceToo, "active");
    expect(files.stateOf(aliceToo)).toBe("active");
  });

  it("after a logout is gone: the store is never used again, a later login gets a new one", () => {
    const path = use();
    const { key } = files.fileFor(alice);
    files.markGone(alice);
    expect(files.stateOf(alice)).toBe("gone");
    files.revive(alice);
    expect(files.stateOf(alice)).toBe("gone");
    reopen();
    const later = files.fileFor(alice);
    expect(later).toMatchObject({ isNew: true, generation: 0, state: "active", recheck: false });
    expect(later.path).not.toBe(path);
    expect(Buffer.from(later.key).equals(key)).toBe(false);
    expect(existsSync(path)).toBe(true);
  });

  it("after a refused token comes back when the homeserver says that the device lives, to be rechecked", () => {
    const path = use();
    files.markGone(alice, "rejection");
    expect(files.stateOf(alice)).toBe("gone");
    files.revive(alice);
    expect(files.fileFor(alice)).toMatchObject({
      path,
      isNew: false,
      recheck: true,
      generation: 1,
    });
    files.recheckPassed(alice);
    expect(files.fileFor(alice).recheck).toBe(false);
  });

  it("does not bring an earlier store back over a later one", () => {
    const path = use();
    files.markGone(alice, "rejection");
    const later = files.fileFor(alice).path;
    files.revive(alice);
    expect(files.fileFor(alice).path).toBe(later);
    files.markGone(alice);
    files.revive(alice);
    expect(files.stateOf(alice)).toBe("gone");
    expect(files.fileFor(alice).path).not.toBe(path);
  });
});

describe("DeviceFiles.remove", () => {
  it("erases key, file, log and row, of this device only", () => {
    const path = use();
    const other = use(aliceToo);
    files.remove(alice);
    expect(readdirSync(join(place.data, "devices")).some((name) => path.endsWith(name))).toBe(
      false,
    );
    for (const end of ["-wal", "-shm"]) expect(existsSync(path + end)).toBe(false);
    expect(files.stateOf(alice)).toBeNull();
    expect(files.fileFor(aliceToo).path).toBe(other);
    expect(existsSync(other)).toBe(true);
  });

  it("can leave the store in use alone", () => {
    const old = use();
    files.markGone(alice);
    const current = use();
    files.remove(alice, "gone");
    expect(existsSync(old)).toBe(false);
    expect(files.fileFor(alice)).toMatchObject({ path: current, isNew: false });
  });

  it("leaves nothing of the wrapped key in the database's pages", () => {
    use();
    const wrapped = database.connection
      .prepare<[], Buffer>("SELECT wrapped_key FROM device_file")
      .pluck()
      .get();
    // The connection's own view of every page, decrypted: free ones too.
    const holdsKey = (): boolean => database.connection.serialize().includes(wrapped ?? "");
    expect(wrapped).toHaveLength(69);
    expect(holdsKey()).toBe(true);
    // The log only grows unless it is truncated, and its older frames hold the key.
    const logBytes = (): number => statSync(join(place.data, "section.db-wal")).size;
    const before = logBytes();
    files.remove(alice);
    expect(holdsKey()).toBe(false);
    expect(logBytes()).toBeLessThan(before);
  });

  it("is finished at the next start where a crash came after the key was destroyed", () => {
    const path = use();
    database.connection.exec("UPDATE device_file SET wrapped_key = NULL, state = 'gone'");
    reopen();
    expect(database.rolledBack).toBe(false);
    expect(existsSync(path)).toBe(false);
    expect(files.stateOf(alice)).toBeNull();
  });

  it("does nothing for a device never seen", () => {
    files.remove(alice);
    expect(files.stateOf(alice)).toBeNull();
  });
});
