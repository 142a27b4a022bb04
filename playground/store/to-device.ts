import type { JsonObject } from "../json.ts";
import type { Accounts } from "./accounts.ts";
import type { Device, ToDeviceMessage } from "./device.ts";
import type { Notifier } from "./notifier.ts";

const MAX_IN_RESPONSE = 100;

/** To-device messages on their way. */
export class ToDevice {
  #position = 0;
  readonly #accounts: Accounts;
  readonly #notifier: Notifier;
  readonly #listeners = new Set<(device: Device, message: ToDeviceMessage) => void>();

  constructor(accounts: Accounts, notifier: Notifier) {
    this.#accounts = accounts;
    this.#notifier = notifier;
  }

  /** The newest position of the to-device stream. */
  get position(): number {
    return this.#position;
  }

  /** Calls back for each message put into an inbox. */
  onMessage(listener: (device: Device, message: ToDeviceMessage) => void): void {
    this.#listeners.add(listener);
  }

  /** Puts messages (user to device to content) into the inboxes; unknown devices are skipped. */
  send(
    sender: string,
    type: string,
    messages: ReadonlyMap<string, ReadonlyMap<string, JsonObject>>,
  ): void {
    const position = ++this.#position;
    for (const [userId, byDevice] of messages) {
      const user = this.#accounts.users.get(userId);
      if (user === undefined) continue;
      const everyone = byDevice.size === 1 ? byDevice.get("*") : undefined;
      for (const device of user.devices.values()) {
        const content = everyone ?? byDevice.get(device.deviceId);
        if (content === undefined) continue;
        const message: ToDeviceMessage = { position, sender, type, content };
        device.inbox.push(message);
        for (const listener of this.#listeners) listener(device, message);
      }
    }
    this.#notifier.wake(messages.keys());
  }

  /** Deletes what the device acknowledged: everything up to the position. */
  acknowledge(device: Device, position: number): void {
    if (device.inbox.some((message) => message.position <= position)) {
      device.inbox = device.inbox.filter((message) => message.position > position);
    }
  }

  /** What a response holds, and the position it reaches. */
  read(
    device: Device,
    since: number,
  ): { readonly messages: readonly ToDeviceMessage[]; readonly position: number } {
    const waiting = device.inbox.filter((message) => message.position > since);
    const messages = waiting.slice(0, MAX_IN_RESPONSE);
    const isWhole = messages.length === waiting.length;
    return { messages, position: isWhole ? this.#position : (messages.at(-1)?.position ?? since) };
  }
}
