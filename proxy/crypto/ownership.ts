import type { OlmMachine } from "@matrix-org/matrix-sdk-crypto-wasm";

import type { DeviceStore } from "../../crypto-store/index.ts";
import type { DeviceAddress } from "../matrix/identifiers.ts";
import { asObject, asString } from "../matrix/json.ts";
import { ForeignDevice, RolledBackStore } from "./errors.ts";
import type { OwnApi } from "./own-api.ts";
import type { Ownership } from "./protocol.ts";

/**
 * Whose keys the homeserver holds for this device. Asked before our first upload: keys that are not
 * ours mean another owner or a lost store, and are never overwritten.
 */
export class DeviceOwnership {
  readonly #device: DeviceAddress;
  readonly #machine: OlmMachine;
  readonly #api: OwnApi;
  readonly #store: DeviceStore;
  #state: Ownership;

  constructor(options: {
    readonly device: DeviceAddress;
    readonly machine: OlmMachine;
    readonly api: OwnApi;
    readonly store: DeviceStore;
    readonly state: Ownership;
  }) {
    this.#device = options.device;
    this.#machine = options.machine;
    this.#api = options.api;
    this.#store = options.store;
    this.#state = options.state;
  }

  get state(): Ownership {
    return this.#state;
  }

  /** The store turned out to be an old copy: its keys are not used again. */
  async noteRollback(): Promise<void> {
    await this.#set("rolled-back");
  }

  /**
   * Makes sure that the device's keys are ours.
   *
   * @throws {ForeignDevice} they are somebody else's
   * @throws {RolledBackStore} they are ours, from a store that is newer than this one
   * @throws when the homeserver cannot be asked
   */
  async require(): Promise<void> {
    const { userId, deviceId } = this.#device;
    if (this.#state === "unknown") await this.#ask();
    if (this.#state === "foreign") throw new ForeignDevice(userId, deviceId);
    if (this.#state === "rolled-back") throw new RolledBackStore(userId, deviceId);
  }

  async #ask(): Promise<void> {
    const { userId, deviceId } = this.#device;
    const body = JSON.stringify({ device_keys: { [userId]: [deviceId] } });
    const answer = await this.#api.json("POST", "/v3/keys/query", {
      body,
      failFast: true,
    });
    const ofUser = asObject(asObject(answer["device_keys"])?.[userId]);
    const keys = asObject(asObject(ofUser?.[deviceId])?.["keys"]);
    const known = asString(keys?.[`ed25519:${deviceId}`]);
    const own = this.#machine.identityKeys.ed25519.toBase64();
    await this.#set(known === null || known === own ? "ours" : "foreign");
  }

  async #set(state: Ownership): Promise<void> {
    this.#state = state;
    await this.#store.transaction((database) => {
      database
        .prepare("INSERT OR REPLACE INTO session_value (name, value) VALUES ('ownership', ?)")
        .run(state);
    });
  }
}
