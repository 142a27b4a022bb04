import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SectionDatabase } from "../../../proxy/accounts/section-database.ts";
import { Place, silent, storeErrorOf } from "./section-fixture.ts";

let place: Place;
beforeEach(() => {
  place = new Place();
});
afterEach(() => {
  place.remove();
});

const file = (name: string): string => join(place.data, name);
const openAndClose = (): void => place.open().close();

describe("SectionDatabase.open", () => {
  it("makes directory, key and database readable by the owner only", () => {
    openAndClose();
    expect(statSync(place.data).mode & 0o777).toBe(0o700);
    expect(statSync(file("devices")).mode & 0o777).toBe(0o700);
    expect(statSync(file("section.key")).mode & 0o777).toBe(0o600);
    expect(statSync(file("section.db")).mode & 0o777).toBe(0o600);
    expect(statSync(place.master.generationPath).mode & 0o777).toBe(0o600);
  });

  it("takes group's and others' rights off a directory that is there", () => {
    mkdirSync(place.data, { mode: 0o755 });
    chmodSync(place.data, 0o755);
    openAndClose();
    expect(statSync(place.data).mode & 0o777).toBe(0o700);
  });

  it("finds again what was written", () => {
    const first = place.open();
    first.connection
      .prepare("INSERT INTO section_value (name, value) VALUES ('kept', 'a value to look for')")
      .run();
    first.close();
    const second = place.open();
    expect(
      second.connection
        .prepare("SELECT value FROM section_value WHERE name = 'kept'")
        .pluck()
        .get(),
    ).toBe("a value to look for");
    second.close();
  });

  it("holds neither plaintext nor the section's key in any file", () => {
    const database = place.open();
    database.connection
      .prepare("INSERT INTO section_value (name, value) VALUES ('kept', 'a value to look for')")
      .run();
    const names = readdirSync(place.data).filter((name) => name.startsWith("section."));
    expect(names).toContain("section.db-wal");
    for (const name of names) {
      expect(readFileSync(file(name)).includes("a value to look for")).toBe(false);
      expect(readFileSync(file(name)).includes("SQLite format 3")).toBe(false);
    }
    database.close();
  });

  it("refuses a second daemon on one directory", () => {
    const first = place.open();
    expect(storeErrorOf(() => place.open()).code).toBe("STORE_LOCKED");
    first.close();
    openAndClose();
  });

  it("refuses a key without a database and names the fix", () => {
    openAndClose();
    rmSync(file("section.db"));
    const key = readFileSync(file("section.key"));
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_MISSING");
    expect(error.message).toBe(
      `${file("section.db")}: is missing beside section.key: restore it from a backup, or move ${place.data} away to begin anew (every device then has to log in again)`,
    );
    expect(readFileSync(file("section.key")).equals(key)).toBe(true);
    expect(existsSync(file("section.db"))).toBe(false);
  });

  it("refuses a database without a key and leaves it alone", () => {
    openAndClose();
    rmSync(file("section.key"));
    const bytes = readFileSync(file("section.db"));
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_MISSING");
    expect(error.message).toBe(
      `${file("section.key")}: is missing beside section.db: restore it from a backup; without it section.db cannot be read`,
    );
    expect(readFileSync(file("section.db")).equals(bytes)).toBe(true);
    expect(existsSync(file("section.key"))).toBe(false);
  });

  it("refuses device stores without key and database", () => {
    const device = join(file("devices"), `${"a".repeat(32)}.db`);
    mkdirSync(file("devices"), { recursive: true });
    writeFileSync(device, "a store");
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_MISSING");
    expect(error.message).toBe(
      `${file("section.db")}: is missing, section.key too, beside ${device}: restore both from a backup, or move ${place.data} away to begin anew (every device then has to log in again)`,
    );
    expect(existsSync(file("section.db"))).toBe(false);
  });

  it("refuses a write-ahead log without its database", () => {
    mkdirSync(place.data);
    writeFileSync(file("section.db-wal"), "a log");
    expect(storeErrorOf(openAndClose).code).toBe("STORE_MISSING");
    expect(readFileSync(file("section.db-wal"), "utf8")).toBe("a log");
  });

  it("refuses an empty directory where a store was before", () => {
    openAndClose();
    rmSync(place.data, { recursive: true });
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_MISSING");
    expect(error.message).toBe(
      `${file("section.db")}: is missing, and ${place.master.generationPath} says that a store was here: restore or mount it, or delete ${place.master.generationPath} to begin anew (every device then has to log in again)`,
    );
    expect(existsSync(file("section.db"))).toBe(false);
  });

  it("refuses to begin with the generation record of another section", () => {
    openAndClose();
    const directory = join(place.root, "another");
    const error = storeErrorOf(() =>
      SectionDatabase.open({ directory, master: place.master, logger: silent }),
    );
    expect(error.code).toBe("STORE_MISSING");
    expect(error.message).toBe(
      `${join(directory, "section.db")}: is missing, and ${place.master.generationPath} is about the store in ${place.data}: restore that store here, or set GenerationFile to a file of this section's own`,
    );
  });

  it("refuses to go on with the generation record of another section", () => {
    openAndClose();
    const other = new Place();
    other.open().close();
    const record = readFileSync(other.master.generationPath, "utf8");
    writeFileSync(place.master.generationPath, record);
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_EXISTS");
    expect(error.message).toBe(
      `${place.master.generationPath}: is about another store, in ${other.data}: set GenerationFile to a file of this section's own, or restore the store that it is about`,
    );
    expect(readFileSync(place.master.generationPath, "utf8")).toBe(record);
    other.remove();
  });

  it("overwrites no file that is not a generation record", () => {
    writeFileSync(place.master.generationPath, "something else");
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_CORRUPT");
    expect(error.message).toBe(
      `${place.master.generationPath}: expected a generation record, got something else: restore it from a backup, or set GenerationFile to a file of its own`,
    );
    expect(readFileSync(place.master.generationPath, "utf8")).toBe("something else");
    expect(existsSync(file("section.db"))).toBe(false);
  });

  it("follows no symbolic link at section.key", () => {
    openAndClose();
    renameSync(file("section.key"), join(place.root, "elsewhere"));
    symlinkSync(join(place.root, "elsewhere"), file("section.key"));
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_UNSAFE");
    expect(error.message).toBe(
      `${file("section.key")}: cannot be read (ELOOP): expected a plain file of this user with mode 0600`,
    );
  });

  it.each(["ELOOP", "EISDIR"])("names a generation record that cannot be read: %s", (code) => {
    openAndClose();
    const path = place.master.generationPath;
    renameSync(path, join(place.root, "elsewhere"));
    if (code === "ELOOP") symlinkSync(join(place.root, "elsewhere"), path);
    else mkdirSync(path);
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_UNSAFE");
    expect(error.message).toBe(
      `${path}: the generation record cannot be read (${code}): expected a plain file that this user can write, see GenerationFile`,
    );
  });

  it("names a generation record that cannot be written", () => {
    const master = { bytes: place.master.bytes, generationPath: "/proc/self/kirjava.generation" };
    const error = storeErrorOf(() => place.open(master));
    expect(error.code).toBe("STORE_UNSAFE");
    expect(error.message).toMatch(
      /^\/proc\/self\/kirjava.generation: the generation record cannot be written \(E[A-Z]+\): /,
    );
    // Nothing was used: with a better place for the record it begins.
    openAndClose();
  });

  it("lets two sections share one master key", () => {
    openAndClose();
    const directory = join(place.root, "another");
    const master = {
      bytes: place.master.bytes,
      generationPath: join(place.root, "another.generation"),
    };
    for (let round = 0; round < 2; round += 1) {
      const database = SectionDatabase.open({ directory, master, logger: silent });
      expect(database.rolledBack).toBe(false);
      database.close();
    }
    openAndClose();
  });

  it("begins anew once the operator has deleted the record", () => {
    openAndClose();
    rmSync(place.data, { recursive: true });
    rmSync(place.master.generationPath);
    const database = place.open();
    expect(database.rolledBack).toBe(false);
    database.close();
  });

  it("refuses another master key, naming both by id, and changes nothing", () => {
    openAndClose();
    const [key, bytes] = [readFileSync(file("section.key")), readFileSync(file("section.db"))];
    const error = storeErrorOf(() => place.open(place.newMaster("other")));
    expect(error.code).toBe("STORE_WRONG_KEY");
    expect(error.path).toBe(file("section.key"));
    expect(error.message).toMatch(
      /needs master key [0-9a-f]{16}, got [0-9a-f]{16}: point StoreKey at the master key that this store was made with; nothing was changed$/,
    );
    expect(readFileSync(file("section.key")).equals(key)).toBe(true);
    expect(readFileSync(file("section.db")).equals(bytes)).toBe(true);
    openAndClose();
  });

  it.each([
    ["cut short", (text: string) => text.slice(0, -3)],
    ["empty", () => ""],
    ["of another form", () => "hello\n"],
    // The 60th base64 character lies in the ciphertext, behind the master key's id.
    ["changed by a bit", (text: string) => flip(text, text.lastIndexOf(" ") + 60)],
    ["moved from another section", (text: string) => text.replace(/ [0-9a-f]{32} /, otherId)],
  ])("refuses a section.key that is %s", (_, change) => {
    openAndClose();
    const changed = change(readFileSync(file("section.key"), "utf8"));
    writeFileSync(file("section.key"), changed);
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_CORRUPT");
    expect(error.message).toBe(
      `${file("section.key")}: is damaged: restore it from a backup; without it section.db cannot be read`,
    );
    expect(readFileSync(file("section.key"), "utf8")).toBe(changed);
  });

  it("refuses a section.key of a later version", () => {
    openAndClose();
    const text = readFileSync(file("section.key"), "utf8");
    writeFileSync(file("section.key"), text.replace("section-key 1 ", "section-key 2 "));
    const error = storeErrorOf(openAndClose);
    expect(error.code).toBe("STORE_TOO_NEW");
    expect(error.message).toMatch(/has version 2, expected 1: run the release that wrote it/);
  });

  it("refuses the database of another section", () => {
    const other = new Place();
    other.open().close();
    openAndClose();
    writeFileSync(file("section.db"), readFileSync(join(other.data, "section.db")));
    expect(storeErrorOf(openAndClose).code).toBe("STORE_WRONG_KEY");
    other.remove();
  });

  it("starts over where a crash left a database without ever writing its key", () => {
    mkdirSync(place.data, { mode: 0o700 });
    writeFileSync(file("section.db.new"), "never used");
    openAndClose();
    expect(existsSync(file("section.db.new"))).toBe(false);
    openAndClose();
  });

  it("completes a creation that crashed between the key and the last rename", () => {
    openAndClose();
    renameSync(file("section.db"), file("section.db.new"));
    rmSync(place.master.generationPath);
    const database = place.open();
    expect(database.rolledBack).toBe(false);
    database.close();
  });

  it("releases the lock when it fails", () => {
    openAndClose();
    storeErrorOf(() => place.open(place.newMaster("other")));
    openAndClose();
  });
});

const otherId = ` ${"0".repeat(32)} `;

function flip(text: string, at: number): string {
  const flipped = text[at] === "A" ? "B" : "A";
  return text.slice(0, at) + flipped + text.slice(at + 1);
}
