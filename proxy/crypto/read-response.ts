import { type EventPlace, eventPlaces, type ReadShape } from "../matrix/event-places.ts";
import { passesEventFilter } from "../matrix/filter.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { asString, isObject, type JsonObject } from "../matrix/json.ts";
import {
  holdsCiphertext,
  readEncryptionState,
  stripMarks,
  withoutEncryptionState,
} from "../matrix/room-events.ts";
import type { DecryptOutcome, EncryptedInput } from "./event-decryptor.ts";
import type { SeenEncryption } from "./protocol.ts";

/** A place with its events; a place that holds a single event has one. */
interface Filled extends EventPlace {
  readonly isList: boolean;
  readonly events: readonly JsonObject[];
}

/** What becomes of a response. */
export interface Arranged {
  /** `null` where the response may go out as the bytes that it came as. */
  readonly response: JsonObject | null;
  /** How many events the client's own filter dropped. */
  readonly dropped: number;
}

/**
 * A response with room events that is no sync. It never waits for a key: what cannot be decrypted
 * now stays the ciphertext that it is.
 */
export class ReadResponse {
  readonly #root: { response: JsonObject };
  readonly #roomId: RoomId | null;
  readonly #places: readonly Filled[];
  readonly #pins: SeenEncryption[] = [];
  readonly #pinned = new Set<RoomId>();
  #changed = false;

  /** @param roomId - the room that the request named; `null` where it named none */
  constructor(
    shape: ReadShape,
    response: JsonObject,
    roomId: RoomId | null,
    hideEncryption: boolean,
  ) {
    this.#root = { response };
    this.#roomId = roomId;
    this.#places = eventPlaces(shape, this.#root).map((place) => this.#fill(place, hideEncryption));
  }

  get pins(): readonly SeenEncryption[] {
    return this.#pins;
  }

  toDecrypt(): EncryptedInput[] {
    return this.#places.flatMap((place) =>
      place.events.flatMap((event) => {
        const roomId = this.#roomOf(event, place);
        return roomId !== null && holdsCiphertext(event) ? [{ roomId, event }] : [];
      }),
    );
  }

  /**
   * Puts decrypted events into place and applies the client's own filter to lists.
   *
   * @param outcomes - for {@link toDecrypt}, in that order
   */
  arrange(outcomes: readonly DecryptOutcome[], filter: JsonObject | null): Arranged {
    const queue = [...outcomes];
    let dropped = 0;
    for (const place of this.#places) {
      const shown = place.events.map((event) => {
        const isOne = this.#roomOf(event, place) !== null && holdsCiphertext(event);
        return (isOne ? queue.shift()?.event : undefined) ?? event;
      });
      const replaced = shown.some((event, index) => event !== place.events[index]);
      // A room event filter speaks of the timeline; the state that comes along is not its matter.
      const isFiltered = filter !== null && place.isList && place.name !== "state";
      const kept = isFiltered ? shown.filter((event) => passesEventFilter(event, filter)) : shown;
      dropped += shown.length - kept.length;
      if (replaced || kept.length < shown.length) this.#changed = true;
      place.holder[place.name] = place.isList ? kept : (kept[0] ?? place.holder[place.name]);
    }
    return { response: this.#changed ? this.#root.response : null, dropped };
  }

  #fill(place: EventPlace, hideEncryption: boolean): Filled {
    const value = place.holder[place.name];
    const isList = Array.isArray(value);
    const events = (isList ? value : [value]).filter(isObject);
    for (const event of events) this.#scan(event, place);
    if (!isList || !hideEncryption) return { ...place, isList, events };
    const shown = withoutEncryptionState(events).filter(isObject);
    if (shown.length < events.length) this.#changed = true;
    return { ...place, isList, events: shown };
  }

  #scan(event: JsonObject, place: EventPlace): void {
    if (stripMarks(event)) this.#changed = true;
    const content = readEncryptionState(event);
    if (content === null && event["type"] !== "m.room.encrypted") return;
    const roomId = this.#roomOf(event, place);
    if (roomId === null || (content === null && this.#pinned.has(roomId))) return;
    this.#pinned.add(roomId);
    this.#pins.push({ roomId, content });
  }

  #roomOf(event: JsonObject, place: EventPlace): RoomId | null {
    return this.#roomId ?? (asString(event["room_id"]) as RoomId | null) ?? place.roomId;
  }
}
