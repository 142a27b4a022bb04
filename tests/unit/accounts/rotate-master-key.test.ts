import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DeviceFiles } from "../../../proxy/accounts/device-files.ts";
import type { RotationStep } from "../../../proxy/accounts/section-database.ts";
import type { MasterKey } from "../../../proxy/config/store-key.ts";
import { ManualClock, Place, address, storeErrorOf } from "./section-fixture.ts";

const alice = address("@alice:example.org", "A");
const bob = address("@bob:example.org", "B");
const STEPS = ["recorded", "prepared", "rewrapped", "switched", "forgotten"] as const;

let place: Place;
let next: MasterKey;
let keys: Buffer[];
beforeEach(() => {
  place = new Place();
  next = place.newMaster("next");
  const database = place.open();
  keys = deviceKeys(new DeviceFiles(database, new ManualClock()));
  database.close();
});
afterEach(() => {
  place.remove();
});

function deviceKeys(files: DeviceFiles): Buffer[] {
  return [alice, bob].map((device) => Buffer.from(files.fileFor(device).key));
}

function expectWorkingWith(master: MasterKey): void {
  // Twice: the first opening settles what a crash left, and must leave it openable.
  for (let round = 0; round < 2; round += 1) {
    const database = place.open(master);
    expect(database.rolledBack).toBe(false);
    expect(deviceKeys(new DeviceFiles(database, new ManualClock()))).toEqual(keys);
    database.close();
    expect(existsSync(join(place.data, "section.key.next"))).toBe(false);
  }
}

describe("SectionDatabase.rotateMasterKey", () => {
  it("keeps every key, and the old master key opens nothing any more", () => {
    const database = place.open();
    const keyFile = join(place.data, "section.key");
    const before = readFileSync(keyFile, "utf8");
    database.rotateMasterKey(next);
    expect(deviceKeys(new DeviceFiles(database, new ManualClock()))).toEqual(keys);
    database.close();
    expect(readFileSync(keyFile, "utf8")).not.toBe(before);
    expect(existsSync(place.master.generationPath)).toBe(false);
    expect(storeErrorOf(() => place.open()).code).toBe("STORE_WRONG_KEY");
    expectWorkingWith(next);
  });

  it("works where both master keys have one generation record", () => {
    const master = { bytes: next.bytes, generationPath: place.master.generationPath };
    const database = place.open();
    database.rotateMasterKey(master);
    database.close();
    expectWorkingWith(master);
  });

  it("refuses the master key in use", () => {
    const database = place.open();
    expect(() => database.rotateMasterKey(place.master)).toThrow(
      new RangeError("expected a new master key, got the one in use"),
    );
    database.close();
    expectWorkingWith(place.master);
  });

  it("refuses an old copy, so that the alarm about it is not lost", () => {
    rmSync(place.master.generationPath);
    const database = place.open();
    expect(() => database.rotateMasterKey(next)).toThrow(
      new Error(
        "expected the newest store, got an old copy: put back the newest or accept this one first",
      ),
    );
    database.close();
    expect(existsSync(next.generationPath)).toBe(false);
  });

  it("refuses a generation record of another section", () => {
    const other = new Place();
    other.open().close();
    const database = place.open();
    const master = { bytes: next.bytes, generationPath: other.master.generationPath };
    expect(storeErrorOf(() => database.rotateMasterKey(master)).code).toBe("STORE_EXISTS");
    database.close();
    expectWorkingWith(place.master);
    other.remove();
  });

  it.each(STEPS)("leaves exactly one working master key when killed after '%s'", (step) => {
    const reached: RotationStep[] = [];
    let goBack = (): void => expect.unreachable();
    const database = place.open();
    database.rotateMasterKey(next, (done) => {
      reached.push(done);
      if (done === step) goBack = place.moment();
    });
    expect(reached).toEqual(STEPS);
    database.close();

    goBack();
    const isDone = STEPS.indexOf(step) >= STEPS.indexOf("rewrapped");
    const [works, fails] = isDone ? [next, place.master] : [place.master, next];
    const error = storeErrorOf(() => place.open(fails));
    expect(error.code).toBe("STORE_WRONG_KEY");
    expect(error.message).toMatch(
      /needs master key [0-9a-f]{16}, got [0-9a-f]{16}: point StoreKey/,
    );
    if (isDone) expectWorkingWith(works);
    else {
      const reopened = place.open(works);
      expect(deviceKeys(new DeviceFiles(reopened, new ManualClock()))).toEqual(keys);
      // Rotating again after the crash comes to its end.
      reopened.rotateMasterKey(next);
      reopened.close();
      expectWorkingWith(next);
    }
  });

  it.each(STEPS)("stays usable when the step after '%s' throws", (step) => {
    const database = place.open();
    const failure = new Error("disk full");
    expect(() =>
      database.rotateMasterKey(next, (done) => {
        if (done === step) throw failure;
      }),
    ).toThrow(failure);
    expect(deviceKeys(new DeviceFiles(database, new ManualClock()))).toEqual(keys);
    database.close();
    expectWorkingWith(STEPS.indexOf(step) >= STEPS.indexOf("rewrapped") ? next : place.master);
  });
});
