import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Statement } from "better-sqlite3";
import { StoreError } from "../../crypto-store/index.ts";
import type { Clock } from "../clock.ts";
import type { DeviceAddress, DeviceId, UserId } from "../matrix/identifiers.ts";
import { isPresent, removeDurably } from "./durable-file.ts";
import { KEY_BYTES } from "./key-wrapping.ts";
import { deviceKeyPurpose } from "./section-database.ts";
import type { SectionDatabase } from "./section-database.ts";

/**
 * - `active`: its store is in use;
 * - `gone`: logged out; this store is never used again, a later login makes a new one;
 * - `foreign`: somebody else's keys are at the homeserver for this device;
 * - `self-encrypting`: the client does its own encryption.
 */
export type DeviceState = "active" | "gone" | "foreign" | "self-encrypting";

/** Where one device's store is and what opens it. */
export interface DeviceFile {
  readonly path: string;
  /** 32 bytes, unwrapped; never written anywhere. */
  readonly key: Uint8Array;
  /** True where the file has to be made. */
  readonly isNew: boolean;
  /** The generation that the file must have at least; see {@link DeviceFiles.raise}. */
  readonly generation: number;
  readonly state: DeviceState;
  /**
   * True where the homeserver once refused this device's last token and took another one later: the
   * device may have been deleted and made anew meanwhile. Compare the keys that `/keys/query` shows with
   * ours before use: the same ones, {@link DeviceFiles.recheckPassed}; else {@link DeviceFiles.markGone}.
   */
  readonly recheck: boolean;
}

interface Row {
  readonly id: number;
  readonly user_id: UserId;
  readonly device_id: DeviceId;
  readonly file_name: string;
  readonly wrapped_key: Buffer;
  readonly state: DeviceState;
  readonly recheck: number;
  readonly generation: number;
}

type Address = [userId: string, deviceId: string];

/**
 * The stores of a section's devices: one encrypted file a device, under a random name and a random key,
 * which is kept wrapped under the master key in the section's database.
 */
export class DeviceFiles {
  readonly #database: SectionDatabase;
  readonly #clock: Clock;
  readonly #current: Statement<Address, Row>;
  readonly #insert: Statement<[...Address, string, Buffer, DeviceState, number]>;
  readonly #setState: Statement<[DeviceState, ...Address]>;
  readonly #setGone: Statement<["logout" | "rejection", ...Address]>;
  readonly #seal: Statement<Address>;
  readonly #revive: Statement<Address>;
  readonly #raise: Statement<[number, ...Address]>;
  readonly #passed: Statement<Address>;

  constructor(database: SectionDatabase, clock: Clock) {
    const { connection } = database;
    const current = "user_id = ? AND device_id = ? AND state <> 'gone'";
    this.#database = database;
    this.#clock = clock;
    this.#current = connection.prepare(`SELECT * FROM device_file WHERE ${current}`);
    this.#insert = connection.prepare(
      "INSERT INTO device_file (user_id, device_id, file_name, wrapped_key, state, created_ms) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#setState = connection.prepare(`UPDATE device_file SET state = ? WHERE ${current}`);
    this.#setGone = connection.prepare(
      `UPDATE device_file SET state = 'gone', gone_by = ? WHERE ${current}`,
    );
    this.#seal = connection.prepare(
      "UPDATE device_file SET gone_by = 'logout' WHERE user_id = ? AND device_id = ? AND state = 'gone'",
    );
    this.#revive = connection.prepare(
      `UPDATE device_file SET state = 'active', gone_by = NULL, recheck = 1
       WHERE id = (SELECT max(id) FROM device_file WHERE user_id = ? AND device_id = ?)
         AND gone_by = 'rejection' AND wrapped_key IS NOT NULL`,
    );
    this.#raise = connection.prepare(
      `UPDATE device_file SET generation = max(generation, ?) WHERE ${current}`,
    );
    this.#passed = connection.prepare(`UPDATE device_file SET recheck = 0 WHERE ${current}`);
    this.#finishRemovals();
  }

  /**
   * The file of a device; a row with a new name and key is made on first use, durably.
   *
   * @throws StoreError `STORE_MISSING` where the store was used before and is not there now
   */
  fileFor(address: DeviceAddress): DeviceFile {
    const row = this.#find(address) ?? this.#create(address, "active");
    const path = join(this.#database.layout.devices, row.file_name);
    const isNew = !isPresent(path);
    if (isNew && row.generation > 0) {
      throw new StoreError(
        "STORE_MISSING",
        path,
        `the store of ${address.userId} ${address.deviceId} is missing: restore it from a backup, or log this device out and in again`,
      );
    }
    return {
      path,
      key: this.#database.unwrap(row.wrapped_key, deviceKeyPurpose(row)),
      isNew,
      generation: row.generation,
      state: row.state,
      recheck: row.recheck === 1,
    };
  }

  /** `null` for a device that is not known here; a device whose every store is gone is `gone`. */
  stateOf(address: DeviceAddress): DeviceState | null {
    const row = this.#find(address);
    if (row !== null) return row.state;
    const known = this.#database.connection
      .prepare<Address>("SELECT 1 FROM device_file WHERE user_id = ? AND device_id = ?")
      .get(address.userId, address.deviceId);
    return known === undefined ? null : "gone";
  }

  /** The devices of a user that have a store in use. */
  deviceIds(userId: UserId): DeviceId[] {
    return this.#database.connection
      .prepare<[string], DeviceId>(
        "SELECT device_id FROM device_file WHERE user_id = ? AND state <> 'gone'",
      )
      .pluck()
      .all(userId);
  }

  /** Says who owns the device's keys; makes the row where there is none. */
  setState(address: DeviceAddress, state: Exclude<DeviceState, "gone">): void {
    if (this.#setState.run(state, address.userId, address.deviceId).changes === 0) {
      this.#create(address, state);
    }
  }

  /**
   * Records that the device's file now has this generation. At every opening: read the file's own
   * number; lower than {@link DeviceFile.generation} means that an old copy was put back. Else write
   * that number plus one into the file, durably, and then call this with it. In that order a crash in
   * between leaves the file ahead, which is no sign of an old copy. Never lowers it.
   */
  raise(address: DeviceAddress, generation: number): void {
    this.#raise.run(generation, address.userId, address.deviceId);
  }

  /** The homeserver still has this device's own keys. */
  recheckPassed(address: DeviceAddress): void {
    this.#passed.run(address.userId, address.deviceId);
  }

  /**
   * The device is logged out: its store is never used again. After `rejection` (a token was refused, no
   * logout was seen) it comes back where the homeserver names the same device for another token that did
   * not come from a login, because an expired token looks the same.
   */
  markGone(address: DeviceAddress, by: "logout" | "rejection" = "logout"): void {
    this.#setGone.run(by, address.userId, address.deviceId);
    if (by === "logout") this.sealGone(address);
  }

  /** Stores of this device that are gone never come back: it was logged out, or in anew. */
  sealGone(address: DeviceAddress): void {
    this.#seal.run(address.userId, address.deviceId);
  }

  /** The homeserver says that the device lives: takes a `rejection` back. */
  revive(address: DeviceAddress): void {
    if (this.#find(address) === null) this.#revive.run(address.userId, address.deviceId);
  }

  /**
   * Erases the stores of a device for good: first their keys, then the files. Close them before.
   *
   * @param which `gone`: only stores of earlier logins
   */
  remove(address: DeviceAddress, which: "all" | "gone" = "all"): void {
    const only = which === "gone" ? "AND state = 'gone'" : "";
    const { changes } = this.#database.connection
      .prepare<Address>(
        `UPDATE device_file SET wrapped_key = NULL, state = 'gone', gone_by = 'logout'
         WHERE user_id = ? AND device_id = ? ${only}`,
      )
      .run(address.userId, address.deviceId);
    if (changes > 0) this.#finishRemovals();
  }

  /** Also at start: a removal that a crash cut short has destroyed the key and left the file. */
  #finishRemovals(): void {
    const names = this.#database.connection
      .prepare<[], string>("SELECT file_name FROM device_file WHERE wrapped_key IS NULL")
      .pluck()
      .all();
    if (names.length === 0) return;
    // The destroyed key must not be found in the log either, and must be gone before the file is.
    this.#database.checkpoint();
    for (const name of names) {
      const path = join(this.#database.layout.devices, name);
      removeDurably(["", "-wal", "-shm", "-journal", ".creating"].map((end) => path + end));
    }
    this.#database.connection.prepare("DELETE FROM device_file WHERE wrapped_key IS NULL").run();
  }

  #find(address: DeviceAddress): Row | null {
    return this.#current.get(address.userId, address.deviceId) ?? null;
  }

  #create(address: DeviceAddress, state: DeviceState): Row {
    const { userId, deviceId } = address;
    const file_name = `${randomBytes(16).toString("hex")}.db`;
    const purpose = deviceKeyPurpose({ user_id: userId, device_id: deviceId, file_name });
    const wrapped = this.#database.wrap(randomBytes(KEY_BYTES), purpose);
    this.#insert.run(userId, deviceId, file_name, wrapped, state, this.#clock.now());
    const row = this.#find(address);
    if (row === null) throw new Error("expected the row of a device store that was just made");
    return row;
  }
}
