import type { Statement } from "better-sqlite3";
import type { DeviceAddress, DeviceId, UserId } from "../matrix/identifiers.ts";
import type { Account, Identity } from "./account.ts";
import { identityOf } from "./account.ts";
import type { SectionDatabase } from "./section-database.ts";

/** Older tokens of one device are dropped beyond this; a client that comes back with one is asked about again. */
const TOKENS_PER_DEVICE = 16;

interface Row {
  readonly token: string;
  readonly user_id: UserId;
  readonly device_id: DeviceId | null;
}

type Owner = [userId: string, deviceId: string | null];

/** The access tokens that a section knows, in its encrypted database. */
export class TokenTable {
  readonly #database: SectionDatabase;
  readonly #byHash: Statement<[string], Row>;
  readonly #insert: Statement<[string, string, ...Owner, number]>;
  readonly #prune: Statement<[...Owner, ...Owner]>;
  readonly #deleteToken: Statement<[string]>;
  readonly #deleteDevice: Statement<Owner, string>;
  readonly #deleteUser: Statement<[string], string>;
  readonly #latest: Statement<Owner, string>;
  readonly #deviceIds: Statement<[string], DeviceId>;
  readonly #devices: Statement<[], Row>;

  constructor(database: SectionDatabase) {
    const { connection } = database;
    const owner = "user_id = ? AND device_id IS ?";
    this.#database = database;
    this.#byHash = connection.prepare(
      "SELECT token, user_id, device_id FROM access_token WHERE hash = ?",
    );
    this.#insert = connection.prepare(
      "INSERT OR REPLACE INTO access_token (hash, token, user_id, device_id, learned_ms) VALUES (?, ?, ?, ?, ?)",
    );
    this.#prune = connection.prepare(
      `DELETE FROM access_token WHERE ${owner} AND id NOT IN
         (SELECT id FROM access_token WHERE ${owner} ORDER BY id DESC LIMIT ${TOKENS_PER_DEVICE})`,
    );
    this.#deleteToken = connection.prepare("DELETE FROM access_token WHERE hash = ?");
    this.#deleteDevice = connection
      .prepare<Owner, string>(`DELETE FROM access_token WHERE ${owner} RETURNING hash`)
      .pluck();
    this.#deleteUser = connection
      .prepare<[string], string>("DELETE FROM access_token WHERE user_id = ? RETURNING hash")
      .pluck();
    this.#latest = connection
      .prepare<Owner, string>(
        `SELECT token FROM access_token WHERE ${owner} ORDER BY id DESC LIMIT 1`,
      )
      .pluck();
    this.#deviceIds = connection
      .prepare<[string], DeviceId>(
        "SELECT DISTINCT device_id FROM access_token WHERE user_id = ? AND device_id IS NOT NULL",
      )
      .pluck();
    this.#devices = connection.prepare(
      `SELECT token, user_id, device_id FROM access_token WHERE id IN
         (SELECT max(id) FROM access_token WHERE device_id IS NOT NULL GROUP BY user_id, device_id)
       ORDER BY id`,
    );
  }

  find(hash: string): Identity | null {
    const row = this.#byHash.get(hash);
    return row === undefined ? null : identityOf(row.token, row.user_id, row.device_id);
  }

  /** Durable when it returns. */
  put(hash: string, identity: Identity, nowMs: number): void {
    const { userId, deviceId, token } = identity;
    this.#database.transaction(() => {
      this.#insert.run(hash, token, userId, deviceId, nowMs);
      this.#prune.run(userId, deviceId, userId, deviceId);
    });
  }

  delete(hash: string): void {
    this.#deleteToken.run(hash);
  }

  /** Deletes all tokens of a device and returns their hashes. */
  deleteDevice(address: DeviceAddress): string[] {
    return this.#deleteDevice.all(address.userId, address.deviceId);
  }

  /** Deletes all tokens of a user and returns their hashes. */
  deleteUser(userId: UserId): string[] {
    return this.#deleteUser.all(userId);
  }

  /** The token learnt last; `null` where none is known. */
  latest(address: DeviceAddress): string | null {
    return this.#latest.get(address.userId, address.deviceId) ?? null;
  }

  /** The devices of a user for which a token is known. */
  deviceIds(userId: UserId): DeviceId[] {
    return this.#deviceIds.all(userId);
  }

  /** Every device with its latest token. */
  devices(): Account[] {
    return this.#devices
      .all()
      .map((row) => identityOf(row.token, row.user_id, row.device_id))
      .filter((identity): identity is Account => identity.deviceId !== null);
  }
}
