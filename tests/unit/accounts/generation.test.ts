import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Place, storeErrorOf } from "./section-fixture.ts";

let place: Place;
beforeEach(() => {
  place = new Place();
});
afterEach(() => {
  place.remove();
});

const record = (): string => place.master.generationPath;
const openAndClose = (): void => place.open().close();

/** Opens, says what the open found out about the store, and closes. */
function alarm(): string | null {
  const database = place.open();
  const reason = database.rollback?.reason ?? null;
  expect(database.rolledBack).toBe(reason !== null);
  database.close();
  return reason;
}

describe("the generation number", () => {
  it("raises no alarm over many openings and closings", () => {
    for (let round = 0; round < 5; round += 1) expect(alarm()).toBeNull();
  });

  it("raises no alarm after a kill, whether the record was written or not", () => {
    openAndClose();
    const before = readFileSync(record());
    const database = place.open();
    const killed = place.image("killed");
    const after = readFileSync(record());
    database.close();
    for (const state of [before, after]) {
      place.putBack(killed);
      writeFileSync(record(), state);
      expect(alarm()).toBeNull();
    }
  });

  it("notices a copy from before an opening, a clean close or a raise", () => {
    openAndClose();
    const beforeOpening = place.image("before-opening");
    const database = place.open();
    const beforeRaise = place.image("before-raise");
    database.raiseGeneration();
    const afterRaise = place.image("after-raise");
    const recordAfterRaise = readFileSync(record());
    database.close();
    const recordAfterClose = readFileSync(record());

    for (const copy of [beforeOpening, beforeRaise, afterRaise]) {
      place.putBack(copy);
      writeFileSync(record(), recordAfterClose);
      expect(alarm()).toBe("older");
    }
    for (const copy of [beforeOpening, beforeRaise]) {
      place.putBack(copy);
      writeFileSync(record(), recordAfterRaise);
      expect(alarm()).toBe("older");
    }
    // What is not noticed, and stated: a kill, and a copy made since the last raise.
    place.putBack(afterRaise);
    writeFileSync(record(), recordAfterRaise);
    expect(alarm()).toBeNull();
  });

  it("gives the facts of a rollback", () => {
    openAndClose();
    const copy = place.image("copy");
    openAndClose();
    place.putBack(copy);
    const database = place.open();
    expect(database.rollback).toEqual({
      reason: "older",
      found: 2,
      expected: 4,
      path: record(),
    });
    database.close();
  });

  it("does not wear off however often the old copy is opened or raised", () => {
    openAndClose();
    const copy = place.image("copy");
    openAndClose();
    place.putBack(copy);
    for (let round = 0; round < 6; round += 1) {
      const database = place.open();
      expect(database.rolledBack).toBe(true);
      database.raiseGeneration();
      database.close();
    }
  });

  it("ends when the newest copy is put back", () => {
    openAndClose();
    const old = place.image("old");
    openAndClose();
    const newest = place.image("newest");
    place.putBack(old);
    expect(alarm()).toBe("older");
    place.putBack(newest);
    expect(alarm()).toBeNull();
  });

  it("ends when the operator accepts the old copy, and then notices other copies again", () => {
    openAndClose();
    const copy = place.image("copy");
    openAndClose();
    place.putBack(copy);
    const database = place.open();
    database.acceptRollback();
    expect(database.rolledBack).toBe(false);
    database.close();
    expect(alarm()).toBeNull();
    place.putBack(copy);
    expect(alarm()).toBe("older");
  });

  it("takes a missing record for a rollback: nothing vouches for the store", () => {
    openAndClose();
    rmSync(record());
    expect(alarm()).toBe("record-missing");
    expect(alarm()).toBe("record-missing");
    expect(existsSync(record())).toBe(false);
    const database = place.open();
    database.acceptRollback();
    database.close();
    expect(alarm()).toBeNull();
  });

  it("does not mind a record that is older than the store", () => {
    openAndClose();
    const before = readFileSync(record());
    openAndClose();
    writeFileSync(record(), before);
    expect(alarm()).toBeNull();
  });

  it("takes a device's store that the database does not know for a rollback", () => {
    openAndClose();
    const stray = join(place.data, "devices", `${"b".repeat(32)}.db`);
    writeFileSync(stray, "a store");
    expect(alarm()).toBe("unknown-device-file");
    const database = place.open();
    expect(database.rollback?.path).toBe(stray);
    database.acceptRollback();
    database.close();
    expect(readFileSync(`${stray}.unclaimed`, "utf8")).toBe("a store");
    expect(alarm()).toBeNull();
  });

  it("refuses a record that was damaged", () => {
    openAndClose();
    writeFileSync(record(), readFileSync(record(), "utf8").slice(0, 30));
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_CORRUPT");
    expect(error.path).toBe(record());
  });
});
