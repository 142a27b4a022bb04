import {
  DecryptionErrorCode,
  MegolmDecryptionError,
  type OlmMachine,
  type RoomId as EngineRoomId,
  ShieldColor,
  ShieldStateCode,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Logger } from "pino";

import type { DeviceStore } from "../../crypto-store/index.ts";
import { type EncryptedMedia, showAttachments } from "../matrix/encrypted-file.ts";
import { bundledEvents } from "../matrix/bundled-events.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { asObject, asString, type JsonObject, parseObject } from "../matrix/json.ts";
import { megolmMessageIndex } from "../matrix/megolm-message.ts";
import { holdsCiphertext, readMegolmEvent } from "../matrix/room-events.ts";
import { isPoison } from "../observe/failpoint.ts";
import { decryptionSettings, engineRoom, provokeTrap } from "./engine.ts";
import type { EngineCalls } from "./engine-calls.ts";
import type { TrustPolicy } from "./protocol.ts";

/** An encrypted event and the room in whose part of a response it stood. */
export interface EncryptedInput {
  readonly roomId: RoomId;
  readonly event: JsonObject;
}

/**
 * What became of an event, and how the client sees it now, with what is bundled with it.
 * - `decrypted`: the plaintext.
 * - `plain`: it was in the clear; only what is bundled with it was to be decrypted.
 * - `late`: its key may still come; the ciphertext until then.
 * - `failed`: it will never decrypt; the ciphertext.
 */
export type DecryptOutcome = {
  readonly event: JsonObject;
  /** Attachments whose keys stood in it. */
  readonly media?: readonly EncryptedMedia[];
} & (
  | { readonly kind: "decrypted" | "plain" }
  | { readonly kind: "late"; readonly sessionId: string }
  | { readonly kind: "failed"; readonly reason: string }
);

/** A thread's newest event comes with its own newest edit; nothing is bundled deeper. */
const maxBundling = 2;

interface Used {
  readonly at: number;
  readonly sessionId: string;
  readonly messageIndex: number;
  readonly eventId: string;
}

/**
 * Decrypts room events, and refuses a message index that came before under another event id: the
 * homeserver could show one message twice otherwise. The memory of used indices outlives the keys.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#mmegolmv1aes-sha2
 */
export class EventDecryptor {
  readonly #machine: OlmMachine;
  readonly #store: DeviceStore;
  readonly #engine: EngineCalls;
  readonly #trust: TrustPolicy;
  readonly #mark: boolean;
  readonly #logger: Logger;
  readonly #rooms = new Map<string, EngineRoomId | null>();

  constructor(options: {
    readonly machine: OlmMachine;
    readonly store: DeviceStore;
    readonly engine: EngineCalls;
    readonly trust: TrustPolicy;
    readonly markDecrypted: boolean;
    readonly logger: Logger;
  }) {
    this.#machine = options.machine;
    this.#store = options.store;
    this.#engine = options.engine;
    this.#trust = options.trust;
    this.#mark = options.markDecrypted;
    this.#logger = options.logger;
  }

  /**
   * Decrypts events in the order given, with the events that are bundled with them; the outcomes
   * stand in the same order.
   */
  decrypt(inputs: readonly EncryptedInput[]): Promise<DecryptOutcome[]> {
    return this.#decryptAll(inputs, maxBundling);
  }

  async #decryptAll(
    inputs: readonly EncryptedInput[],
    bundling: number,
  ): Promise<DecryptOutcome[]> {
    const outcomes: DecryptOutcome[] = [];
    const used: Used[] = [];
    for (const input of inputs) {
      const outcome = await this.#decryptOne(input);
      if (outcome.kind === "decrypted") {
        const use = useOf(input.event, outcomes.length);
        if (use !== null) used.push(use);
      }
      outcomes.push(outcome);
    }
    for (const at of await this.#replays(used)) {
      this.#logger.warn("an event repeats a message index of another event: not decrypted");
      const event = inputs[at]?.event ?? {};
      outcomes[at] = { kind: "failed", event, reason: "replayed message index" };
    }
    return bundling === 0 ? outcomes : this.#decryptBundled(inputs, outcomes, bundling);
  }

  /** What is bundled with an event and cannot be decrypted stays the ciphertext that it is. */
  async #decryptBundled(
    inputs: readonly EncryptedInput[],
    outcomes: readonly DecryptOutcome[],
    bundling: number,
  ): Promise<DecryptOutcome[]> {
    const shown = [...outcomes];
    const bundled = outcomes.flatMap((outcome, at) =>
      bundledEvents(outcome.event)
        .filter(({ event }) => holdsCiphertext(event))
        .map((place) => ({ at, place, roomId: inputs[at]?.roomId })),
    );
    if (bundled.length === 0) return shown;
    const within = await this.#decryptAll(
      bundled.flatMap(({ place, roomId }) =>
        roomId === undefined ? [] : [{ roomId, event: place.event }],
      ),
      bundling - 1,
    );
    for (const [index, { at, place }] of bundled.entries()) {
      const outer = shown[at];
      const inner = within[index];
      if (outer === undefined || inner === undefined || inner.event === place.event) continue;
      const media = mediaOf([outer, inner]);
      shown[at] = { ...outer, event: place.replace(outer.event, inner.event), media };
    }
    return shown;
  }

  async #decryptOne({ roomId, event }: EncryptedInput): Promise<DecryptOutcome> {
    const megolm = readMegolmEvent(event);
    if (megolm === null) return { kind: "plain", event };
    const failed = (reason: string) => ({ kind: "failed", event, reason }) as const;
    const room = this.#room(roomId);
    if (room === null) return failed("no room id");
    const text = JSON.stringify(event);
    if (this.#engine.isQuarantined(text)) return failed("quarantined");
    try {
      const decrypted = await this.#engine.feed([text], async () => {
        if (isPoison(text)) await provokeTrap(this.#machine);
        return this.#machine.decryptRoomEvent(text, room, decryptionSettings(this.#trust));
      });
      const plain = parseObject(decrypted.event);
      const shield = decrypted.shieldState(true);
      const { color, code } = shield;
      shield.free();
      decrypted.free();
      if (code === ShieldStateCode.MismatchedSender) {
        // A plain client shows no shields: it would take the words for those of whom the event names.
        this.#logger.warn("an event names another sender than its key belongs to: not decrypted");
        return failed("mismatched sender");
      }
      const verified = color === ShieldColor.None;
      const content = asObject(plain?.["content"]);
      const type = asString(plain?.["type"]);
      if (content === null || type === null) return failed("no room event");
      // A homeserver authorises redactions; in ciphertext any member could redact anything.
      if (type === "m.room.redaction") return failed("encrypted redaction");
      const attachments = showAttachments(content);
      const shown: JsonObject = { ...event, type, content: attachments.content };
      if (this.#mark) Object.assign(shown, { decrypted: true, verified });
      return { kind: "decrypted", event: shown, media: attachments.media };
    } catch (error) {
      if (!(error instanceof MegolmDecryptionError)) throw error;
      const { code, maybe_withheld: withheld } = error;
      error.free();
      const mayCome =
        code === DecryptionErrorCode.MissingRoomKey ||
        code === DecryptionErrorCode.UnknownMessageIndex;
      return mayCome && withheld === undefined
        ? { kind: "late", event, sessionId: megolm.sessionId }
        : failed(DecryptionErrorCode[code]);
    }
  }

  #room(roomId: RoomId): EngineRoomId | null {
    let room = this.#rooms.get(roomId);
    if (room === undefined) {
      room = engineRoom(roomId);
      this.#rooms.set(roomId, room);
    }
    return room;
  }

  /** Records the uses and returns the places of those that repeat an index under another event id. */
  #replays(used: readonly Used[]): Promise<number[]> {
    if (used.length === 0) return Promise.resolve([]);
    return this.#store.transaction((database) => {
      const insert = database.prepare(
        "INSERT OR IGNORE INTO replay (session_id, message_index, event_id) VALUES (?, ?, ?)",
      );
      const known = database
        .prepare("SELECT event_id FROM replay WHERE session_id = ? AND message_index = ?")
        .pluck();
      return used
        .filter(({ sessionId, messageIndex, eventId }) => {
          if (insert.run(sessionId, messageIndex, eventId).changes === 1) return false;
          return known.get(sessionId, messageIndex) !== eventId;
        })
        .map(({ at }) => at);
    });
  }
}

function useOf(event: JsonObject, at: number): Used | null {
  const megolm = readMegolmEvent(event);
  const eventId = asString(event["event_id"]);
  if (megolm === null || eventId === null) return null;
  const messageIndex = megolmMessageIndex(megolm.ciphertext);
  return messageIndex === null ? null : { at, sessionId: megolm.sessionId, messageIndex, eventId };
}

/** The attachments whose keys stood in these events. */
export function mediaOf(outcomes: readonly DecryptOutcome[]): EncryptedMedia[] {
  return outcomes.flatMap(({ media }) => media ?? []);
}
