import { bundledEvents } from "./bundled-events.ts";
import { asObject, asString, isObject, type JsonObject } from "./json.ts";

/**
 * Readers of room events as they stand in responses.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#room-event-format
 */

/** Events are bundled with events; deeper than this nothing is decrypted, and no mark believed. */
const maxBundling = 4;

/** What is needed of an `m.room.encrypted` event before its key is known. */
export interface MegolmEvent {
  readonly sessionId: string;
  readonly ciphertext: string;
}

/**
 * The Megolm parts of an encrypted room event; `null` where it is none, or was redacted. One with a state key is none: what it
 * decrypted to would look like state that no homeserver has authorised.
 */
export function readMegolmEvent(event: JsonObject): MegolmEvent | null {
  if (event["type"] !== "m.room.encrypted" || Object.hasOwn(event, "state_key")) return null;
  const content = asObject(event["content"]);
  if (content?.["algorithm"] !== "m.megolm.v1.aes-sha2") return null;
  const sessionId = asString(content["session_id"]);
  const ciphertext = asString(content["ciphertext"]);
  return sessionId === null || ciphertext === null ? null : { sessionId, ciphertext };
}

/** True where the event, or one that is bundled with it, is a Megolm event. */
export function holdsCiphertext(event: JsonObject, bundling = maxBundling): boolean {
  if (readMegolmEvent(event) !== null) return true;
  if (bundling === 0) return false;
  return bundledEvents(event).some((bundled) => holdsCiphertext(bundled.event, bundling - 1));
}

/** The content of an `m.room.encryption` state event; `null` where it is another event. */
export function readEncryptionState(event: JsonObject): JsonObject | null {
  if (event["type"] !== "m.room.encryption" || event["state_key"] !== "") return null;
  return asObject(event["content"]) ?? {};
}

/**
 * Removes marks that only Kirjava may set from an event as it came in, and from those bundled with it.
 *
 * @returns whether there was one
 */
export function stripMarks(event: JsonObject, bundling = maxBundling): boolean {
  let found = false;
  if (bundling > 0) {
    for (const bundled of bundledEvents(event)) {
      if (stripMarks(bundled.event, bundling - 1)) found = true;
    }
  }
  for (const mark of ["decrypted", "verified"]) {
    if (Object.hasOwn(event, mark)) {
      // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- fixed names, own property
      delete event[mark];
      found = true;
    }
  }
  return found;
}

/** The list without the events that say that a room is encrypted. */
export function withoutEncryptionState(events: readonly unknown[]): unknown[] {
  return events.filter((event) => !isObject(event) || readEncryptionState(event) === null);
}

/** Visits every object that is a room event in `list`, with its place. */
export function eachEvent(list: unknown, visit: (event: JsonObject, index: number) => void): void {
  if (!Array.isArray(list)) return;
  list.forEach((event: unknown, index) => {
    if (isObject(event)) visit(event, index);
  });
}
