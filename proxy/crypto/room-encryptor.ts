import {
  EncryptionAlgorithm,
  EncryptionSettings,
  HistoryVisibility as EngineVisibility,
  type OlmMachine,
  type RoomId as EngineRoomId,
  type ToDeviceRequest,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Logger } from "pino";

import type { DeviceStore } from "../../crypto-store/index.ts";
import type { Clock } from "../clock.ts";
import { MatrixError } from "../matrix/errors.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { failpoint } from "../observe/failpoint.ts";
import { SharedRun } from "../serial.ts";
import { withDeadline } from "./deadline.ts";
import type { DeviceChanges } from "./device-changes.ts";
import { EncryptQueue, type PassedSend, sameEncryption } from "./encrypt-queue.ts";
import type { EngineCalls } from "./engine-calls.ts";
import { applyTrust } from "./device-trust.ts";
import { collectStrategy, engineRoom, engineUsers } from "./engine.ts";
import { OwnRequestRefused, UnsupportedAlgorithm } from "./errors.ts";
import type { OutgoingRequests } from "./outgoing-requests.ts";
import type { OwnApi } from "./own-api.ts";
import type { RoomEncryption, TrustPolicy } from "./protocol.ts";
import {
  fetchRecipients,
  type HistoryVisibility,
  readHistoryVisibility,
  type Recipients,
} from "./room-recipients.ts";
import { SentCiphertexts } from "./sent-ciphertexts.ts";
import { OutboundSession } from "./outbound-session.ts";
import { rotation } from "./rotation.ts";

/**
 * The engine panics when asked to use an expired session. It is told to allow this much more than
 * the room does, and the session is dropped here in time.
 */
const rotationMarginMs = 10 * 60_000;
/** How long a history visibility is believed without having seen the room's state change. */
const visibilityTtlMs = 30_000;

const engineVisibility: Record<HistoryVisibility, EngineVisibility> = {
  invited: EngineVisibility.Invited,
  joined: EngineVisibility.Joined,
  shared: EngineVisibility.Shared,
  world_readable: EngineVisibility.WorldReadable,
};

/** What all rooms of one device share. */
export interface EncryptorContext {
  readonly machine: OlmMachine;
  readonly engine: EngineCalls;
  readonly store: DeviceStore;
  readonly api: OwnApi;
  readonly outgoing: OutgoingRequests;
  readonly changes: DeviceChanges;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly trust: TrustPolicy;
  readonly freshness: "barrier" | "stream";
  readonly sendDeadlineMs: number;
}

/** What the last share covered; a send that finds nothing newer needs no further one. */
interface Shared {
  readonly recipients: Recipients;
  readonly change: number;
  readonly encryption: RoomEncryption;
  /** Key requests that failed or ran out of time: the next send tries again. */
  readonly complete: boolean;
}

/**
 * Encrypts one device's events for one room.
 *
 * Every send first passes the barrier: the device learns what changed before the send arrived, then
 * the room key goes to whoever lacks it, then the event is encrypted. Sends that wait share a
 * barrier; encryption is serial.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#sending-encrypted-messages
 */
export class RoomEncryptor {
  readonly #context: EncryptorContext;
  readonly #roomId: RoomId;
  readonly #engineRoom: EngineRoomId;
  readonly #queue: EncryptQueue;
  readonly #barrier: SharedRun<Recipients>;
  #visibility: { readonly value: HistoryVisibility; readonly atMs: number } | null = null;
  #recipients: Recipients | null = null;
  #shared: Shared | null = null;
  readonly #outbound: OutboundSession;
  readonly #sent = new SentCiphertexts();
  readonly #unsent: ToDeviceRequest[] = [];

  constructor(context: EncryptorContext, roomId: RoomId) {
    const room = engineRoom(roomId);
    if (room === null) {
      throw new MatrixError(400, "M_INVALID_PARAM", "expected a room id in the path");
    }
    this.#context = context;
    this.#roomId = roomId;
    this.#engineRoom = room;
    this.#outbound = new OutboundSession(context.store, context.clock, roomId);
    this.#barrier = new SharedRun(() => this.#passBarrier());
    this.#queue = new EncryptQueue({
      store: context.store,
      prepare: async (send) => {
        if (this.#sentBefore(send) !== null) return;
        await this.#share(send.recipients, send.encryption);
        failpoint("share-to-send");
      },
      room: ({ encryption }) => this.#outbound.room(encryption),
      encrypt: (send) => this.#encryptNow(send),
    });
  }

  /** Membership or history visibility changed, as a sync showed: asked anew at the next send. */
  invalidate(): void {
    this.#recipients = null;
    this.#visibility = null;
  }

  /**
   * Encrypts one event's content for everybody who may read it at this moment.
   *
   * @returns the content of the `m.room.encrypted` event, JSON text
   * @throws {UntrustedDevices} the trust policy excludes a device in the room
   * @throws {UnsupportedAlgorithm} the room's algorithm is not Megolm
   */
  async encrypt(send: Omit<PassedSend, "recipients">): Promise<string> {
    const { encryption } = send;
    if (encryption.algorithm !== "m.megolm.v1.aes-sha2") {
      throw new UnsupportedAlgorithm(this.#roomId, encryption.algorithm);
    }
    const fresh = this.#context.freshness === "stream" ? this.#recipients : null;
    const recipients = fresh ?? (await this.#barrier.run());
    return this.#queue.add({ ...send, recipients });
  }

  async #encryptNow(passed: PassedSend): Promise<string> {
    const before = this.#sentBefore(passed);
    if (before !== null) return before;
    const { machine, engine, clock } = this.#context;
    const { eventType, txnId, content, encryption } = passed;
    const send = { eventType, content, share: this.#shared ?? {} };
    const text = await engine.call(() =>
      machine.encryptRoomEvent(this.#engineRoom, eventType, content),
    );
    await this.#outbound.noteUse(text, encryption);
    this.#sent.remember(txnId, send, text, clock.now());
    return text;
  }

  /** The ciphertext of an earlier try of this send, though its session may be used up by now. */
  #sentBefore({ eventType, txnId, content, recipients, encryption }: PassedSend): string | null {
    const share = this.#shared;
    if (share === null || !this.#covers(recipients, encryption)) return null;
    return this.#sent.find(txnId, { eventType, content, share }, this.#context.clock.now());
  }

  async #passBarrier(): Promise<Recipients> {
    const { api, changes, clock, sendDeadlineMs } = this.#context;
    const started = clock.now();
    const visibility = this.#fetchVisibility();
    // What the device learns may run out of time; who is in the room must be known.
    const tolerate = (error: unknown): void => {
      if (error instanceof MatrixError && error.name === "TokenRejected") throw error;
      if (error instanceof MatrixError && error.name === "HomeserverUnreachable") throw error;
      this.#context.logger.warn({ err: error }, "device lists could not be brought up to date");
      this.#shared = null;
    };
    const learned = withDeadline(changes.learn(), sendDeadlineMs, clock).catch(tolerate);
    const [recipients] = await Promise.all([
      visibility.then((value) =>
        fetchRecipients(api, this.#roomId, value, started + sendDeadlineMs - clock.now()),
      ),
      learned,
    ]);
    const known = this.#shared?.recipients.users;
    const unannounced = [...recipients.invited].filter((user) => known?.has(user) === true);
    if (unannounced.length > 0) {
      const remainingMs = Math.max(100, started + sendDeadlineMs - clock.now());
      await withDeadline(changes.recheck(unannounced), remainingMs, clock).catch(tolerate);
    }
    this.#recipients = recipients;
    return recipients;
  }

  async #fetchVisibility(): Promise<HistoryVisibility> {
    const { api, clock, sendDeadlineMs } = this.#context;
    if (this.#visibility !== null && clock.now() - this.#visibility.atMs < visibilityTtlMs) {
      return this.#visibility.value;
    }
    const path = `/v3/rooms/${encodeURIComponent(this.#roomId)}/state/m.room.history_visibility/`;
    let value: HistoryVisibility;
    try {
      const answer = await api.json("GET", path, { deadlineMs: sendDeadlineMs, failFast: true });
      value = readHistoryVisibility(answer["history_visibility"]);
    } catch (error) {
      if (!(error instanceof OwnRequestRefused) || error.upstreamStatus !== 404) throw error;
      value = "shared";
    }
    this.#visibility = { value, atMs: clock.now() };
    return value;
  }

  /** Gives the room key to whoever lacks it, where anything changed since the last time. */
  async #share(recipients: Recipients, encryption: RoomEncryption): Promise<void> {
    const { changes, clock, sendDeadlineMs } = this.#context;
    if (this.#isShared(recipients, encryption)) return;
    const change = changes.latest;
    const deadline = clock.now() + sendDeadlineMs;
    let complete = true;
    const tolerate = (what: string) => (error: unknown) => {
      if (error instanceof MatrixError && error.name === "TokenRejected") throw error;
      // Not a server that is slow but no homeserver at all: the client is told, and tries again.
      if (error instanceof MatrixError && error.name === "HomeserverUnreachable") throw error;
      this.#context.logger.warn({ err: error }, `${what}; the next message tries again`);
      complete = false;
    };
    await withDeadline(this.#fetchKeys(recipients, deadline), sendDeadlineMs, clock).catch(
      tolerate("keys could not be fetched for everybody in the room"),
    );
    await applyTrust(this.#context.trust, this.#context, this.#roomId, recipients.users);
    await this.#dropExpired(encryption);
    failpoint("claim-to-share");
    const { machine, engine } = this.#context;
    const users = engineUsers(recipients.users);
    const settings = this.#settings(recipients, encryption);
    const requests = await engine.call(() =>
      machine.shareRoomKey(this.#engineRoom, users, settings),
    );
    this.#unsent.push(...requests);
    await withDeadline(this.#sendRoomKeys(), Math.max(100, deadline - clock.now()), clock).catch(
      tolerate("the room key did not reach everybody"),
    );
    this.#shared = { recipients, change, encryption, complete };
  }

  /** Sends what is still to be sent of room keys; a request that fails stays for the next time. */
  async #sendRoomKeys(): Promise<void> {
    const due = this.#unsent.splice(0);
    const outcomes = await Promise.allSettled(
      due.map((request) => this.#context.outgoing.send(request)),
    );
    const failed = due.filter((_, index) => outcomes[index]?.status === "rejected");
    this.#unsent.push(...failed);
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    if (failure !== undefined) throw failure.reason;
  }

  async #fetchKeys(recipients: Recipients, deadlineAtMs: number): Promise<void> {
    const { machine, outgoing, changes, clock } = this.#context;
    const before = this.#shared?.recipients.users;
    const newcomers = [...recipients.users].filter((user) => before?.has(user) !== true);
    if (newcomers.length > 0) {
      // A tracked user who shared no room with us for a while may have changed unnoticed.
      await machine.updateTrackedUsers(engineUsers(recipients.users));
      await changes.refresh(newcomers);
    }
    const claim = await machine.getMissingSessions(engineUsers(recipients.users));
    if (claim !== null) await outgoing.send(claim, Math.max(100, deadlineAtMs - clock.now()));
  }

  #isShared(recipients: Recipients, encryption: RoomEncryption): boolean {
    return this.#outbound.room(encryption) > 0 && this.#covers(recipients, encryption);
  }

  /** True where the last share left nobody out of those who may read now. */
  #covers(recipients: Recipients, encryption: RoomEncryption): boolean {
    const shared = this.#shared;
    if (shared?.complete !== true) return false;
    return (
      !this.#context.changes.changedSince(shared.change, recipients.users) &&
      shared.recipients.historyVisibility === recipients.historyVisibility &&
      sameMembers(shared.recipients.users, recipients.users) &&
      sameEncryption(shared.encryption, encryption)
    );
  }

  /** Drops the outbound session where it is not to be used again. */
  async #dropExpired(encryption: RoomEncryption): Promise<void> {
    if (!(await this.#outbound.mustEnd(encryption))) return;
    await this.#context.machine.invalidateGroupSession(this.#engineRoom);
    this.#outbound.noteDropped();
  }

  #settings(recipients: Recipients, encryption: RoomEncryption): EncryptionSettings {
    const { rotationMs, messages } = rotation(encryption);
    const settings = new EncryptionSettings();
    settings.algorithm = EncryptionAlgorithm.MegolmV1AesSha2;
    settings.historyVisibility = engineVisibility[recipients.historyVisibility];
    settings.sharingStrategy = collectStrategy(this.#context.trust);
    settings.rotationPeriodMessages = BigInt(messages);
    // Microseconds here, milliseconds in the room's event.
    settings.rotationPeriod = BigInt(rotationMs + rotationMarginMs) * 1000n;
    return settings;
  }
}

function sameMembers(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((user) => other.has(user));
}
