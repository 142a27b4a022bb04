import type { Logger } from "pino";

import type { Account } from "../accounts/account.ts";
import type { Accounts } from "../accounts/accounts.ts";
import type { SectionDatabase } from "../accounts/section-database.ts";
import type {
  DeviceOpening,
  EncryptArgs,
  OpenResult,
  ReadArgs,
  ReadResult,
  SeenEncryption,
  SyncArgs,
  SyncResult,
} from "../crypto/protocol.ts";
import type { OpeningCalls, SessionHosts } from "../crypto/session-hosts.ts";
import { MatrixError } from "../matrix/errors.ts";
import type { DeviceAddress } from "../matrix/identifiers.ts";
import { asObject, asString, type JsonObject, parseObject } from "../matrix/json.ts";
import type { MediaKeys } from "../media/media-keys.ts";
import type { EncryptionPins } from "../rooms/encryption-pins.ts";
import type { Homeserver } from "../homeserver/homeserver.ts";

/** What the sessions of one section are made of. */
export interface SectionSessionsOptions {
  readonly section: string;
  readonly hosts: SessionHosts;
  readonly accounts: Accounts;
  readonly database: SectionDatabase;
  readonly pins: EncryptionPins;
  readonly mediaKeys: MediaKeys;
  readonly homeserver: Homeserver;
  readonly logger: Logger;
}

/**
 * One section's device sessions, seen from the HTTP front: opens them on first use, and writes the
 * encryption pins that a response showed before the response is released.
 */
export class SectionSessions {
  readonly #options: SectionSessionsOptions;

  constructor(options: SectionSessionsOptions) {
    this.#options = options;
    options.accounts.onChange(({ kind, address }) => {
      if (kind === "gone") {
        options.logger.info(address, "a device is logged out: its keys are not used again");
        this.#inBackground(this.close(address));
      }
      if (kind === "token") this.#inBackground(this.#renewToken(address));
    });
  }

  /** True where the client does its own encryption, or another owner holds the device's keys. */
  passesThrough(device: DeviceAddress): boolean {
    const state = this.#options.accounts.files.stateOf(device);
    return state === "self-encrypting" || state === "foreign";
  }

  /** Opens a device's session where it is not open. */
  open(device: DeviceAddress): Promise<OpenResult> {
    return this.#options.hosts.open(device, this.#openingOf);
  }

  async encrypt(account: Account, args: EncryptArgs): Promise<string> {
    const { hosts } = this.#options;
    const { userId, deviceId } = account;
    const result = await hosts.call("encrypt", { userId, deviceId }, this.#openingOf, [args]);
    return result.content;
  }

  /** Takes a sync response; its pins and media keys are durable when the promise resolves. */
  async sync(device: DeviceAddress, args: SyncArgs): Promise<SyncResult> {
    const result = await this.#options.hosts.call("sync", device, this.#openingOf, [args]);
    this.#pin(result.pins);
    this.#options.mediaKeys.learn(device.userId, result.media);
    return result;
  }

  /** True for a position up to which the device's feed was taken. */
  isTaken(device: DeviceAddress, position: string): Promise<boolean> {
    return this.#options.hosts.call("isTaken", device, this.#openingOf, [position]);
  }

  owedReady(device: DeviceAddress, cursor: number | null, signal: AbortSignal): Promise<void> {
    return this.#options.hosts.call("owedReady", device, this.#openingOf, [cursor], signal);
  }

  async deliverOwed(
    device: DeviceAddress,
    args: { since: string; cursor: number | null; filter: JsonObject | null },
  ): Promise<SyncResult> {
    const result = await this.#options.hosts.call("deliverOwed", device, this.#openingOf, [args]);
    this.#pin(result.pins);
    this.#options.mediaKeys.learn(device.userId, result.media);
    return result;
  }

  /** Decrypts a response that is no sync; its pins and media keys are durable when the promise resolves. */
  async read(device: DeviceAddress, args: ReadArgs): Promise<ReadResult> {
    const result = await this.#options.hosts.call("read", device, this.#openingOf, [args]);
    this.#pin(result.pins);
    this.#options.mediaKeys.learn(device.userId, result.media);
    return result;
  }

  /** Closes a device's session where it is open. */
  close(device: DeviceAddress): Promise<void> {
    return this.#options.hosts.close(device);
  }

  #pin(seen: readonly SeenEncryption[]): void {
    for (const { roomId, content } of seen) this.#options.pins.pin(roomId, content);
  }

  async #renewToken(device: DeviceAddress): Promise<void> {
    const token = this.#options.accounts.latestToken(device);
    if (token === null || !this.#options.hosts.isOpen(device)) return;
    await this.#options.hosts.call("setToken", device, this.#openingOf, [token]);
  }

  readonly #openingOf = async (device: DeviceAddress, calls: OpeningCalls): Promise<OpenResult> => {
    const { accounts } = this.#options;
    const opening = this.#opening(device);
    const result = await calls.open(opening);
    const { userId, deviceId } = device;
    const { ownership, ed25519 } = result;
    this.#options.logger[opening.isNew ? "info" : "debug"](
      { userId, deviceId, ownership, fingerprint: ed25519 },
      opening.isNew ? "keys were made for a new device" : "a device's keys were opened",
    );
    accounts.files.raise(device, result.generation);
    if (result.ownership === "foreign") accounts.files.setState(device, "foreign");
    if (!accounts.files.fileFor(device).recheck) return result;
    if (await this.#stillHasKeys(device, result.ed25519)) {
      accounts.files.recheckPassed(device);
      return result;
    }
    // Deleted at the homeserver and made anew under the same id: the old store speaks for nobody.
    await calls.close();
    accounts.files.markGone(device);
    return this.#openingOf(device, calls);
  };

  #opening(device: DeviceAddress): DeviceOpening {
    const { accounts, database, section } = this.#options;
    const { userId, deviceId } = device;
    const token = accounts.latestToken(device);
    if (token === null) {
      throw new MatrixError(401, "M_UNKNOWN_TOKEN", "no access token of the device is known");
    }
    const { path, key, isNew, generation, state } = accounts.files.fileFor(device);
    const foreign = state === "foreign" || state === "self-encrypting";
    const { rolledBack } = database;
    return { userId, deviceId, section, token, path, key, isNew, generation, rolledBack, foreign };
  }

  /** True where the homeserver still holds this device's own keys. */
  async #stillHasKeys({ userId, deviceId }: DeviceAddress, ed25519: string): Promise<boolean> {
    const token = this.#options.accounts.latestToken({ userId, deviceId }) ?? "";
    const response = await this.#options.homeserver.request({
      method: "POST",
      path: "/_matrix/client/v3/keys/query",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ device_keys: { [userId]: [deviceId] } }),
    });
    if (response.statusCode !== 200) {
      throw new MatrixError(502, "M_UNKNOWN", "the homeserver could not say whose device this is");
    }
    const answer = parseObject(response.body.toString());
    const devices = asObject(asObject(answer?.["device_keys"])?.[userId]);
    const keys = asObject(asObject(devices?.[deviceId])?.["keys"]);
    return asString(keys?.[`ed25519:${deviceId}`]) === ed25519;
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#options.logger.error({ err: error }, "a device session could not be closed or renewed");
    });
  }
}
