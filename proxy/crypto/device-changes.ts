import type { OlmMachine } from "@matrix-org/matrix-sdk-crypto-wasm";

import { asStrings } from "../matrix/json.ts";
import { SharedRun } from "../serial.ts";
import { engineUsers } from "./engine.ts";
import type { Feed } from "./feed.ts";
import type { OutgoingRequests } from "./outgoing-requests.ts";
import type { OwnApi } from "./own-api.ts";

/**
 * The device's part of the barrier: what changed in the devices of others since our feed position.
 * Waiting sends share one run; it starts no earlier than they arrived.
 *
 * `GET /keys/changes` acknowledges nothing and shows new devices, logouts, new members and leavers
 * at once, which a `/sync` answered from a response cache does not.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#get_matrixclientv3keyschanges
 */
export class DeviceChanges {
  readonly #machine: OlmMachine;
  readonly #feed: Feed;
  readonly #api: OwnApi;
  readonly #outgoing: OutgoingRequests;
  readonly #run: SharedRun<void>;
  readonly #deadlineMs: number;
  /** Counts the runs that found something; a room compares it with what it saw last. */
  #changesSeen = 0;
  readonly #lastChange = new Map<string, number>();

  constructor(options: {
    readonly machine: OlmMachine;
    readonly feed: Feed;
    readonly api: OwnApi;
    readonly outgoing: OutgoingRequests;
    readonly deadlineMs: number;
  }) {
    this.#machine = options.machine;
    this.#feed = options.feed;
    this.#api = options.api;
    this.#outgoing = options.outgoing;
    this.#deadlineMs = options.deadlineMs;
    this.#run = new SharedRun(() => this.#learn());
  }

  /** The number of the last change known; grows with each. */
  get latest(): number {
    return this.#changesSeen;
  }

  /** True where a device list of one of these users changed after change number `seen`. */
  changedSince(seen: number, users: ReadonlySet<string>): boolean {
    if (seen === this.#changesSeen) return false;
    for (const user of users) if ((this.#lastChange.get(user) ?? 0) > seen) return true;
    return false;
  }

  /** Notes device lists that changed, as a feed or a run of ours showed. */
  note(users: readonly string[]): void {
    if (users.length === 0) return;
    this.#changesSeen += 1;
    for (const user of users) this.#lastChange.set(user, this.#changesSeen);
  }

  /** Learns what changed up to now; the engine has fetched the changed devices when it resolves. */
  learn(): Promise<void> {
    return this.#run.run();
  }

  /** Fetches these users' devices anew, whatever is known of them. */
  async refresh(users: readonly string[]): Promise<void> {
    this.note(users);
    await this.#feed.receiveDeviceLists(users, []);
    await this.#outgoing.flush();
  }

  /**
   * Fetches the devices of users about whose changes the homeserver says nothing: those with whom no
   * joined room is shared. Counts as a change only where one is found.
   */
  async recheck(users: readonly string[]): Promise<void> {
    const before = await this.#fingerprints(users);
    await this.#feed.receiveDeviceLists(users, []);
    await this.#outgoing.flush();
    const after = await this.#fingerprints(users);
    this.note(users.filter((_, index) => before[index] !== after[index]));
  }

  async #fingerprints(users: readonly string[]): Promise<string[]> {
    const fingerprints: string[] = [];
    for (const user of users) {
      const parts: string[] = [];
      for (const id of engineUsers([user])) {
        const devices = await this.#machine.getUserDevices(id, 0);
        for (const device of devices.devices()) {
          parts.push(`${device.deviceId.toString()} ${device.ed25519Key?.toBase64() ?? ""}`);
        }
      }
      fingerprints.push(parts.sort().join("\n"));
    }
    return fingerprints;
  }

  async #learn(): Promise<void> {
    const from = this.#feed.position;
    if (from === null) {
      await this.#feed.markAllDirty();
    } else {
      const path = `/v3/keys/changes?from=${encodeURIComponent(from)}&to=${encodeURIComponent(from)}`;
      const answer = await this.#api.json("GET", path, {
        deadlineMs: this.#deadlineMs,
        failFast: true,
      });
      const changed = asStrings(answer["changed"]);
      const left = asStrings(answer["left"]);
      if (changed.length > 0 || left.length > 0) {
        this.note(changed);
        await this.#feed.receiveDeviceLists(changed, left);
      }
    }
    await this.#outgoing.flush();
  }
}
