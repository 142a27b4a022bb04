import type { DeviceStore } from "../../crypto-store/index.ts";
import type { Clock } from "../clock.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { asString, parseObject } from "../matrix/json.ts";
import { megolmMessageIndex } from "../matrix/megolm-message.ts";
import type { RoomEncryption } from "./protocol.ts";
import { rotation } from "./rotation.ts";

/** What is remembered of a room's outbound session, with the limits that it was made with. */
interface Outbound {
  readonly sessionId: string;
  readonly createdMs: number;
  readonly rotationMs: number | null;
  readonly rotationMessages: number | null;
}

/**
 * Age and use of a room's outbound session. The engine panics when it is asked to use a session that
 * has expired, and a session keeps the limits that it was made with, whatever the room says later: so
 * it is renewed before its end, and whenever the room's limits change.
 */
export class OutboundSession {
  readonly #store: DeviceStore;
  readonly #clock: Clock;
  readonly #roomId: RoomId;
  #current: Outbound | null = null;
  #messages = 0;
  /** The session was dropped here: the next one is new. */
  #dropped = false;

  constructor(store: DeviceStore, clock: Clock, roomId: RoomId) {
    this.#store = store;
    this.#clock = clock;
    this.#roomId = roomId;
  }

  /** How many more messages the session is known to take; 0 where the engine has to be given the choice. */
  room(encryption: RoomEncryption): number {
    if (this.#current === null || this.#isOver(this.#current, encryption)) return 0;
    return Math.max(0, rotation(encryption).messages - this.#messages);
  }

  /** True where the session must not be used again: too old, or of other limits, or of unknown ones. */
  async mustEnd(encryption: RoomEncryption): Promise<boolean> {
    const current = this.#current ?? (await this.#load());
    return current === null || this.#isOver(current, encryption);
  }

  /** The engine was told to drop the session. */
  noteDropped(): void {
    this.#current = null;
    this.#dropped = true;
  }

  /** Notes that the engine made this message, under a session shared with these limits. */
  async noteUse(content: string, encryption: RoomEncryption): Promise<void> {
    const parsed = parseObject(content);
    const sessionId = asString(parsed?.["session_id"]);
    const index = megolmMessageIndex(asString(parsed?.["ciphertext"]) ?? "");
    if (sessionId === null || index === null) {
      throw new Error("expected a Megolm message of the engine, got another shape");
    }
    this.#messages = index + 1;
    if (this.#current?.sessionId === sessionId) return;
    const known = this.#current ?? (await this.#load());
    const isNew = this.#current !== null || this.#dropped || known === null;
    const { rotationMs, messages: rotationMessages } = rotation(encryption);
    const limits = { rotationMs, rotationMessages };
    if (known?.sessionId === sessionId) this.#current = known;
    // After a restart a session may turn up that was shared before it and never used. It is younger
    // than the one known, and that is all that can be said of its age.
    else
      this.#current = {
        sessionId,
        createdMs: isNew ? this.#clock.now() : known.createdMs,
        ...limits,
      };
    this.#dropped = false;
    await this.#save(this.#current);
  }

  #isOver(outbound: Outbound, encryption: RoomEncryption): boolean {
    const { rotationMs, messages } = rotation(encryption);
    const ageMs = this.#clock.now() - outbound.createdMs;
    return (
      ageMs >= rotationMs ||
      outbound.rotationMs !== rotationMs ||
      outbound.rotationMessages !== messages
    );
  }

  #load(): Promise<Outbound | null> {
    return this.#store.transaction((database) => {
      const row = database
        .prepare(
          `SELECT session_id AS sessionId, created_ms AS createdMs, rotation_ms AS rotationMs,
             rotation_messages AS rotationMessages FROM outbound WHERE room_id = ?`,
        )
        .get(this.#roomId);
      return (row as Outbound | undefined) ?? null;
    });
  }

  #save({ sessionId, createdMs, rotationMs, rotationMessages }: Outbound): Promise<unknown> {
    return this.#store.transaction((database) =>
      database
        .prepare(
          `INSERT OR REPLACE INTO outbound
             (room_id, session_id, created_ms, rotation_ms, rotation_messages) VALUES (?, ?, ?, ?, ?)`,
        )
        .run(this.#roomId, sessionId, createdMs, rotationMs, rotationMessages),
    );
  }
}
