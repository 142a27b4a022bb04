import type { RoomId } from "../matrix/identifiers.ts";
import { passesEventFilter } from "../matrix/filter.ts";
import { asArray, isObject, type JsonObject } from "../matrix/json.ts";
import {
  readEncryptionState,
  readMegolmEvent,
  stripMarks,
  withoutEncryptionState,
} from "../matrix/room-events.ts";
import type { DecryptOutcome, EncryptedInput } from "./event-decryptor.ts";
import type { ReadArgs, SeenEncryption } from "./protocol.ts";

/** Where each shape of response holds room events. */
const lists: Record<ReadArgs["shape"], readonly string[]> = {
  messages: ["chunk", "state"],
  context: ["events_before", "events_after", "state"],
  event: [],
};

/** A list of events within a response, or a single one. */
interface Holder {
  readonly name: string | null;
  events: JsonObject[];
}

/**
 * A response with room events that is no sync: `/messages`, `/context`, `/event`. It never waits
 * for a key: what cannot be decrypted now stays the ciphertext that it is.
 */
export class ReadResponse {
  readonly #response: JsonObject;
  readonly #roomId: RoomId;
  readonly #holders: Holder[] = [];
  readonly #pins: SeenEncryption[] = [];

  constructor(
    shape: ReadArgs["shape"],
    response: JsonObject,
    roomId: RoomId,
    hideEncryption: boolean,
  ) {
    this.#response = response;
    this.#roomId = roomId;
    for (const name of lists[shape]) {
      if (!Array.isArray(response[name])) continue;
      this.#holders.push({ name, events: asArray(response[name]).filter(isObject) });
    }
    if (shape === "event") this.#holders.push({ name: null, events: [response] });
    const single = response["event"];
    if (shape === "context" && isObject(single)) {
      this.#holders.push({ name: "event", events: [single] });
    }
    for (const { events } of this.#holders) for (const event of events) this.#scan(event);
    if (!hideEncryption) return;
    for (const holder of this.#holders.filter(({ name }) => name !== null && name !== "event")) {
      holder.events = withoutEncryptionState(holder.events).filter(isObject);
    }
  }

  get pins(): readonly SeenEncryption[] {
    return this.#pins;
  }

  toDecrypt(): EncryptedInput[] {
    return this.#holders
      .flatMap(({ events }) => events)
      .filter((event) => readMegolmEvent(event) !== null)
      .map((event) => ({ roomId: this.#roomId, event }));
  }

  /**
   * Puts decrypted events into place and applies the client's own filter to lists.
   *
   * @returns the response, and how many events the filter dropped
   */
  arrange(
    outcomes: readonly DecryptOutcome[],
    filter: JsonObject | null,
  ): { readonly response: JsonObject; readonly dropped: number } {
    const queue = [...outcomes];
    let response = this.#response;
    let dropped = 0;
    for (const { name, events } of this.#holders) {
      const shown = events.map((event) => {
        const outcome = readMegolmEvent(event) === null ? undefined : queue.shift();
        return outcome?.kind === "decrypted" ? outcome.event : event;
      });
      if (name === null) {
        response = shown[0] ?? response;
      } else if (name === "event") {
        response[name] = shown[0];
      } else {
        // A room event filter speaks of the timeline; the state that comes along is not its matter.
        const kept =
          filter === null || name === "state"
            ? shown
            : shown.filter((event) => passesEventFilter(event, filter));
        dropped += shown.length - kept.length;
        response[name] = kept;
      }
    }
    return { response, dropped };
  }

  #scan(event: JsonObject): void {
    stripMarks(event);
    const content = readEncryptionState(event);
    if (content !== null) this.#pins.push({ roomId: this.#roomId, content });
    else if (event["type"] === "m.room.encrypted" && this.#pins.length === 0) {
      this.#pins.push({ roomId: this.#roomId, content: null });
    }
  }
}
