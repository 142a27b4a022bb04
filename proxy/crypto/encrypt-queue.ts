import type { DeviceStore } from "../../crypto-store/index.ts";
import { SerialQueue } from "../serial.ts";
import type { RoomEncryption } from "./protocol.ts";
import type { Recipients } from "./room-recipients.ts";

/** A send that passed the barrier. */
export interface PassedSend {
  readonly eventType: string;
  /** The client's transaction id; `null` for a send without one. */
  readonly txnId: string | null;
  /** The plaintext content, JSON text. */
  readonly content: string;
  readonly encryption: RoomEncryption;
  readonly recipients: Recipients;
}

interface Waiting {
  readonly send: PassedSend;
  readonly resolve: (text: string) => void;
  readonly reject: (error: unknown) => void;
}

/** How many sends go into one write to the disk at most. */
const maxBatch = 32;

/**
 * The sends of one room that wait to be encrypted. They are encrypted in order; those that are alike and wait together become
 * durable together, and none is handed out before.
 */
export class EncryptQueue {
  readonly #store: Pick<DeviceStore, "grouped">;
  readonly #prepare: (send: PassedSend) => Promise<void>;
  readonly #room: (send: PassedSend) => number;
  readonly #encrypt: (send: PassedSend) => Promise<string>;
  readonly #serial = new SerialQueue();
  readonly #waiting: Waiting[] = [];

  constructor(options: {
    readonly store: Pick<DeviceStore, "grouped">;
    /** Gives the room key to whoever lacks it; what is thrown fails this send alone. */
    readonly prepare: (send: PassedSend) => Promise<void>;
    /** How many messages the session is known to take, after `prepare`. */
    readonly room: (send: PassedSend) => number;
    readonly encrypt: (send: PassedSend) => Promise<string>;
  }) {
    this.#store = options.store;
    this.#prepare = options.prepare;
    this.#room = options.room;
    this.#encrypt = options.encrypt;
  }

  /** Resolves with the ciphertext when the state that made it is durable. */
  add(send: PassedSend): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ send, resolve, reject });
      void this.#serial.run(() => this.#next());
    });
  }

  async #next(): Promise<void> {
    const first = this.#waiting.shift();
    // An earlier run may have taken it along.
    if (first === undefined) return;
    const batch = [first];
    try {
      await this.#prepare(first.send);
      batch.push(...this.#takeAlong(first.send));
      // The engine takes up calls in their order, each up to its write: see the test of concurrent encrypts.
      const outcomes = await this.#store.grouped(() =>
        Promise.allSettled(batch.map(({ send }) => this.#encrypt(send))),
      );
      for (const [index, { resolve, reject }] of batch.entries()) {
        const outcome = outcomes[index];
        if (outcome?.status === "fulfilled") resolve(outcome.value);
        else reject(outcome?.reason);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  /** Those next in line for whom the same was prepared, as far as the session is known to last. */
  #takeAlong(first: PassedSend): Waiting[] {
    const most = Math.min(this.#waiting.length, this.#room(first) - 1, maxBatch - 1);
    let count = 0;
    for (const { send } of this.#waiting.slice(0, Math.max(0, most))) {
      if (send.recipients !== first.recipients) break;
      if (!sameEncryption(send.encryption, first.encryption)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}

/** Whether both ask for the same rotation; the algorithm is the same wherever a send gets this far. */
export function sameEncryption(one: RoomEncryption, other: RoomEncryption): boolean {
  return (
    one.rotationPeriodMs === other.rotationPeriodMs &&
    one.rotationPeriodMessages === other.rotationPeriodMessages
  );
}
