import type { Statement } from "better-sqlite3";
import type { SectionDatabase } from "../accounts/section-database.ts";
import type { Clock } from "../clock.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { asObject, asString } from "../matrix/json.ts";

/** The one algorithm for room events that is encrypted with. */
export const MEGOLM = "m.megolm.v1.aes-sha2";

/** A room that was seen encrypted: nothing is ever sent to it in the clear again. */
export interface EncryptionPin {
  readonly roomId: RoomId;
  /** As the room says; anything but {@link MEGOLM} means that no message event can be sent. */
  readonly algorithm: string;
  /** Milliseconds between {@link ROTATION_LIMITS}; `null` for the default. */
  readonly rotationPeriodMs: number | null;
  /** Messages between {@link ROTATION_LIMITS}; `null` for the default. */
  readonly rotationPeriodMessages: number | null;
}

/**
 * What a room may ask for. A member with the right to set it can neither make every message a new
 * session for hours on end nor keep one session for ever. The lower bounds are the engine's own.
 */
export const ROTATION_LIMITS = {
  periodMs: { least: 3_600_000, most: 2_592_000_000 },
  messages: { least: 1, most: 10_000 },
} as const;

const MAX_ALGORITHM_LENGTH = 255;

/**
 * Which rooms of a section are encrypted. It only ever grows: neither a later event nor its absence
 * takes a room out.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#mroomencryption
 */
export class EncryptionPins {
  readonly #pins: Map<RoomId, EncryptionPin>;
  readonly #clock: Clock;
  readonly #onNew: (roomId: RoomId) => void;
  readonly #write: Statement<[string, string, number | null, number | null, number]>;

  /**
   * Reads all pins into memory.
   *
   * @param onNew - hears of each room that was not pinned before
   */
  constructor(
    database: SectionDatabase,
    clock: Clock,
    onNew: (roomId: RoomId) => void = () => undefined,
  ) {
    this.#clock = clock;
    this.#onNew = onNew;
    const pins = database.connection
      .prepare<[], EncryptionPin>(
        "SELECT room_id AS roomId, algorithm, rotation_period_ms AS rotationPeriodMs, rotation_period_messages AS rotationPeriodMessages FROM encryption_pin",
      )
      .all();
    this.#pins = new Map(pins.map((pin) => [pin.roomId, Object.freeze(pin)]));
    this.#write = database.connection.prepare(
      `INSERT INTO encryption_pin (room_id, algorithm, rotation_period_ms, rotation_period_messages, pinned_ms)
       VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (room_id) DO UPDATE SET algorithm = excluded.algorithm,
         rotation_period_ms = excluded.rotation_period_ms,
         rotation_period_messages = excluded.rotation_period_messages`,
    );
  }

  /** How many rooms are pinned. */
  get size(): number {
    return this.#pins.size;
  }

  /** `null` where the room was never seen encrypted: that does not say that it is plain. */
  get(roomId: RoomId): EncryptionPin | null {
    return this.#pins.get(roomId) ?? null;
  }

  /**
   * Pins a room; durable when it returns. Throws what SQLite throws, and then the room is not pinned in
   * memory either: the response that showed it must not be released.
   *
   * @param content of the `m.room.encryption` event, whatever is in it; `null` where something else
   *   showed it (an `m.room.encrypted` event, a room key). What names no algorithm, such as the rest of
   *   a redacted event, pins the room and changes no setting.
   */
  pin(roomId: RoomId, content: unknown): EncryptionPin {
    const before = this.get(roomId);
    const pin = readContent(roomId, content) ?? before ?? unconfigured(roomId);
    if (before !== null && isSame(before, pin)) return before;
    this.#write.run(
      roomId,
      pin.algorithm,
      pin.rotationPeriodMs,
      pin.rotationPeriodMessages,
      this.#clock.now(),
    );
    this.#pins.set(roomId, pin);
    if (before === null) this.#onNew(roomId);
    return pin;
  }
}

function readContent(roomId: RoomId, content: unknown): EncryptionPin | null {
  const object = asObject(content);
  const algorithm = asString(object?.["algorithm"]);
  if (object === null || algorithm === null || algorithm === "") return null;
  return Object.freeze({
    roomId,
    // Through a buffer: half a surrogate pair would be read back from disk as another text.
    algorithm: Buffer.from(algorithm.slice(0, MAX_ALGORITHM_LENGTH)).toString(),
    rotationPeriodMs: clamp(object["rotation_period_ms"], ROTATION_LIMITS.periodMs),
    rotationPeriodMessages: clamp(object["rotation_period_msgs"], ROTATION_LIMITS.messages),
  });
}

/** Nothing says how: with the defaults, because the other choice would be not to encrypt. */
function unconfigured(roomId: RoomId): EncryptionPin {
  return Object.freeze({
    roomId,
    algorithm: MEGOLM,
    rotationPeriodMs: null,
    rotationPeriodMessages: null,
  });
}

function clamp(value: unknown, limits: { least: number; most: number }): number | null {
  // Zero and below mean nothing; taking them for the least would let one event slow every send down.
  if (typeof value !== "number" || !(value > 0)) return null;
  return Math.min(Math.max(Math.floor(value), limits.least), limits.most);
}

function isSame(a: EncryptionPin, b: EncryptionPin): boolean {
  return (
    a.algorithm === b.algorithm &&
    a.rotationPeriodMs === b.rotationPeriodMs &&
    a.rotationPeriodMessages === b.rotationPeriodMessages
  );
}
