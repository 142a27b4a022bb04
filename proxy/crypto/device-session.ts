import type { OlmMachine } from "@matrix-org/matrix-sdk-crypto-wasm";

import { DeviceStore } from "../../crypto-store/index.ts";
import { MatrixError } from "../matrix/errors.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { asString, type JsonObject } from "../matrix/json.ts";
import { formatSyncToken } from "../matrix/sync-token.ts";
import { DeviceChanges } from "./device-changes.ts";
import { deviceStateMigrations } from "./device-state.ts";
import { openMachine } from "./engine.ts";
import { EngineCalls } from "./engine-calls.ts";
import { EventDecryptor, mediaOf } from "./event-decryptor.ts";
import {
  Feed,
  type FeedPart,
  type FeedPositions,
  loadFeedPositions,
  takeFeedPart,
} from "./feed.ts";
import { inbox } from "./inbox.ts";
import { OutgoingRequests } from "./outgoing-requests.ts";
import { OwedEvents } from "./owed-events.ts";
import { OwedWaiter } from "./owed-waiter.ts";
import { OwnApi } from "./own-api.ts";
import { DeviceOwnership } from "./ownership.ts";
import type {
  DeviceOpening,
  EncryptArgs,
  OpenResult,
  ReadArgs,
  ReadResult,
  SuspectReport,
  SyncArgs,
  SyncResult,
} from "./protocol.ts";
import { ReadResponse } from "./read-response.ts";
import { RoomEncryptor } from "./room-encryptor.ts";
import type { SessionContext } from "./session-context.ts";
import { parseBody } from "./response-body.ts";
import { readStanding, type Standing } from "./standing.ts";
import { Suspects } from "./suspects.ts";
import { SyncResponse } from "./sync-response.ts";

/** How long after a failed round of key requests the next one is tried. */
const retryMs = 5_000;

/**
 * One device's end of all encryption: its keys, its feed, what it encrypts and decrypts, what it
 * owes its client. Lives in a session host; knows nothing of HTTP towards the client.
 */
export class DeviceSession {
  readonly #context: SessionContext;
  readonly #generation: number;
  readonly #store: DeviceStore;
  readonly #machine: OlmMachine;
  readonly #engine: EngineCalls;
  readonly #api: OwnApi;
  readonly #outgoing: OutgoingRequests;
  readonly #feed: Feed;
  readonly #changes: DeviceChanges;
  readonly #decryptor: EventDecryptor;
  readonly #owed: OwedEvents;
  readonly #waiter: OwedWaiter;
  readonly #ownership: DeviceOwnership;
  readonly #rooms = new Map<RoomId, RoomEncryptor>();
  #cancelRetry: () => void = () => undefined;
  #closed = false;

  private constructor(
    context: SessionContext,
    store: DeviceStore,
    machine: OlmMachine,
    opening: DeviceOpening,
    loaded: {
      readonly engine: EngineCalls;
      readonly standing: Standing;
      readonly positions: FeedPositions;
    },
  ) {
    const { section, clock, logger } = context;
    this.#context = context;
    this.#generation = loaded.standing.generation;
    this.#store = store;
    this.#machine = machine;
    this.#api = new OwnApi(context.requests, opening.token, () => store.settled());
    this.#ownership = new DeviceOwnership({
      device: opening,
      machine,
      api: this.#api,
      store,
      state: loaded.standing.ownership,
    });
    this.#engine = loaded.engine;
    this.#outgoing = new OutgoingRequests({
      machine,
      engine: this.#engine,
      api: this.#api,
      clock,
      logger,
      onKeysRefused: () => {
        logger.error("the homeserver refuses our keys: the key store is older than the last used");
        void this.#ownership.noteRollback();
      },
    });
    this.#feed = new Feed(
      {
        machine,
        store,
        engine: loaded.engine,
        clock,
        logger,
        onTaken: (part) => this.#feedTaken(part),
        lastUploadMs: () => this.#outgoing.lastUploadMs,
      },
      loaded.positions,
    );
    this.#changes = new DeviceChanges({
      machine,
      feed: this.#feed,
      api: this.#api,
      outgoing: this.#outgoing,
      deadlineMs: section.sendDeadlineMs,
    });
    this.#decryptor = new EventDecryptor({
      machine,
      store,
      engine: loaded.engine,
      trust: section.trust,
      markDecrypted: section.markDecrypted,
      logger,
    });
    this.#owed = new OwedEvents(store, clock);
    this.#waiter = new OwedWaiter({
      owed: this.#owed,
      store,
      decryptor: this.#decryptor,
      clock,
      lateKeyTimeoutMs: section.lateKeyTimeoutMs,
    });
    machine.registerRoomKeyUpdatedCallback(() => {
      this.#waiter.lookAgain();
      return Promise.resolve();
    });
  }

  /** Opens the device's store and its machine, and starts to bring its keys to the homeserver. */
  static async open(
    context: SessionContext,
    opening: DeviceOpening,
    reports: readonly SuspectReport[],
  ): Promise<DeviceSession> {
    const { clock, logger } = context;
    const store = DeviceStore.open({
      path: opening.path,
      key: opening.key,
      mode: opening.isNew ? "create" : "existing",
      migrations: deviceStateMigrations,
    });
    let machine: OlmMachine | null = null;
    try {
      const standing = await readStanding(store, opening);
      const suspects = await Suspects.load(store, reports, clock, logger);
      machine = await openMachine(opening, store.mountName);
      const positions = await loadFeedPositions(store);
      const engine = new EngineCalls(opening, context.gate, suspects);
      const loaded = { engine, standing, positions };
      const session = new DeviceSession(context, store, machine, opening, loaded);
      // Whose the keys are is settled first, where the homeserver can say it now.
      await session.#ownership.require().catch(() => undefined);
      session.#bringKeys();
      return session;
    } catch (error) {
      machine?.close();
      await store.close();
      throw error;
    }
  }

  describe(): OpenResult {
    return {
      ownership: this.#ownership.state,
      generation: this.#generation,
      feedPosition: this.#feed.position,
      ed25519: this.#machine.identityKeys.ed25519.toBase64(),
    };
  }

  setToken(token: string): void {
    this.#api.setToken(token);
    this.#bringKeys();
  }

  /** Encrypts one event for everybody who may read it now. */
  async encrypt(args: EncryptArgs): Promise<string> {
    await this.#ownership.require();
    await this.#outgoing.flushFirst(this.#context.section.sendDeadlineMs);
    return this.#room(args.roomId).encrypt(args);
  }

  /** Takes the feed out of a sync response and makes the rest what the client is to see. */
  async sync(args: SyncArgs): Promise<SyncResult> {
    const response = parseBody(args.body);
    const nextBatch = asString(response["next_batch"]);
    if (nextBatch === null) throw new MatrixError(502, "M_UNKNOWN", "sync without a next_batch");
    const { since, serial, oldestSerial, startedMs } = args;
    const place = { since, nextBatch, serial, oldestSerial, startedMs };
    const part = takeFeedPart(response, place);
    await this.#feed.take(part);
    const result = await this.#deliver(response, nextBatch, args);
    return { ...result, toDeviceCount: part.toDevice.length };
  }

  /** True for a position up to which the feed was taken. */
  isTaken(position: string): boolean {
    return this.#feed.isTaken(position);
  }

  /** Resolves when something that the cursor is owed can be given. */
  owedReady(cursor: number | null, signal: AbortSignal): Promise<void> {
    return this.#waiter.ready(cursor, signal);
  }

  /** A response of owed events alone; the client's position upstream stays. */
  deliverOwed(
    since: string,
    cursor: number | null,
    filter: JsonObject | null,
  ): Promise<SyncResult> {
    return this.#deliver({ next_batch: since }, since, { cursor, filter, source: "client" });
  }

  /** Decrypts a response that is no sync. */
  async read(args: ReadArgs): Promise<ReadResult> {
    const { hideEncryption } = this.#context.section;
    const read = new ReadResponse(args.shape, parseBody(args.body), args.roomId, hideEncryption);
    const outcomes = await this.#decryptor.decrypt(read.toDecrypt());
    const { response, dropped } = read.arrange(outcomes, args.filter);
    const body = response === null ? args.body : toBody(response);
    return { body, pins: read.pins, media: mediaOf(outcomes), dropped };
  }

  /** Ends the session; nothing of it may be called afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry();
    this.#machine.close();
    await this.#store.close();
  }

  async #deliver(
    response: JsonObject,
    nextBatch: string,
    args: Pick<SyncArgs, "cursor" | "filter" | "source">,
  ): Promise<SyncResult> {
    const { clock, section } = this.#context;
    const entries = args.source === "own" ? [] : await this.#owed.at(args.cursor);
    const sync = new SyncResponse(response, entries, section.hideEncryption);
    for (const roomId of sync.touched) this.#rooms.get(roomId)?.invalidate();
    const seen = { nextBatch, pins: sync.pins, toDeviceCount: 0 };
    if (args.source === "own") {
      return { ...seen, media: [], body: null, cursor: null, empty: true };
    }
    const outcomes = await this.#decryptor.decrypt(sync.toDecrypt());
    const { kept, fresh } = sync.arrange(outcomes, {
      nowMs: clock.now(),
      lateKeyTimeoutMs: section.lateKeyTimeoutMs,
      deviceCreatedMs: this.#machine.deviceCreationTimeMs,
    });
    sync.applyFilter(args.filter);
    const { events, upTo } = await this.#store.transaction((database) => inbox.waiting(database));
    if (events.length > 0) response["to_device"] = { events };
    const cursor = await this.#owed.store(this.#owed.carry(kept), fresh, upTo);
    response["next_batch"] = formatSyncToken({ upstream: nextBatch, cursor });
    const body = toBody(response);
    return { ...seen, media: mediaOf(outcomes), body, cursor, empty: sync.isEmpty() };
  }

  #feedTaken(part: FeedPart): void {
    this.#changes.note(part.changed);
    if (part.toDevice.length > 0) this.#waiter.lookAgain();
    this.#bringKeys();
  }

  /** Sends what the engine wants sent, in the background; a failure is tried again. */
  #bringKeys(): void {
    if (this.#closed) return;
    this.#cancelRetry();
    const work = async () => {
      await this.#ownership.require();
      await this.#outgoing.flush();
    };
    work().catch((error: unknown) => {
      if (this.#closed) return;
      this.#context.logger.warn({ err: error }, "key requests failed");
      const final = error instanceof MatrixError && error.statusCode < 500;
      if (final) return;
      this.#cancelRetry = this.#context.clock.after(retryMs, () => this.#bringKeys());
    });
  }

  #room(roomId: RoomId): RoomEncryptor {
    let room = this.#rooms.get(roomId);
    if (room === undefined) {
      const { section, clock, logger } = this.#context;
      room = new RoomEncryptor(
        {
          machine: this.#machine,
          engine: this.#engine,
          store: this.#store,
          api: this.#api,
          outgoing: this.#outgoing,
          changes: this.#changes,
          clock,
          logger,
          trust: section.trust,
          freshness: section.freshness,
          sendDeadlineMs: section.sendDeadlineMs,
        },
        roomId,
      );
      this.#rooms.set(roomId, room);
    }
    return room;
  }
}

function toBody(response: JsonObject): Buffer {
  try {
    return Buffer.from(JSON.stringify(response));
  } catch (error) {
    // What can be parsed may still be nested too deeply to be written.
    if (!(error instanceof RangeError)) throw error;
    throw new MatrixError(502, "M_UNKNOWN", "the homeserver's answer is nested too deeply", {
      cause: error,
    });
  }
}
