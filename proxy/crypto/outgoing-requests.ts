import {
  type KeysBackupRequest,
  KeysClaimRequest,
  KeysQueryRequest,
  KeysUploadRequest,
  type OlmMachine,
  RequestType,
  RoomMessageRequest,
  SignatureUploadRequest,
  ToDeviceRequest,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Logger } from "pino";

import type { Clock } from "../clock.ts";
import { parseObject } from "../matrix/json.ts";
import { SharedRun } from "../serial.ts";
import { DeadlinePassed, withDeadline } from "./deadline.ts";
import type { EngineCalls } from "./engine-calls.ts";
import { OwnRequestRefused } from "./errors.ts";
import type { OwnApi } from "./own-api.ts";

type EngineRequest =
  | KeysUploadRequest
  | KeysQueryRequest
  | KeysClaimRequest
  | ToDeviceRequest
  | SignatureUploadRequest
  | RoomMessageRequest
  | KeysBackupRequest;

/** How many rounds of requests one run makes: an answer can lead to further requests. */
const maxRounds = 6;
/** Key uploads allowed at once, and how often one more: against counts that lie. */
const uploadBurst = 20;
const uploadRefillMs = 60_000;

/**
 * Sends what the engine wants sent and hands it the answers.
 *
 * A run covers everything that was due when it started; who calls {@link flush} waits for a run that
 * started no earlier. A homeserver that cannot be reached ends a run at once: a send may be waiting,
 * and who asked for the run tries again. A request of a kind that is not known here throws: it is never marked as sent.
 */
export class OutgoingRequests {
  readonly #machine: OlmMachine;
  readonly #engine: EngineCalls;
  readonly #api: OwnApi;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onKeysRefused: () => void;
  readonly #run: SharedRun<void>;
  #uploads = uploadBurst;
  #uploadsAt: number;
  #uploadsStopped = false;
  #first: Promise<void> | null = null;
  #lastUploadMs = 0;

  constructor(options: {
    readonly machine: OlmMachine;
    readonly engine: EngineCalls;
    readonly api: OwnApi;
    readonly clock: Clock;
    readonly logger: Logger;
    /** The homeserver holds other one-time keys under our ids: the store is an old copy. */
    readonly onKeysRefused: () => void;
  }) {
    this.#machine = options.machine;
    this.#engine = options.engine;
    this.#api = options.api;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#onKeysRefused = options.onKeysRefused;
    this.#uploadsAt = options.clock.now();
    this.#run = new SharedRun(() => this.#rounds());
  }

  /** When the last key upload was answered, milliseconds since the epoch; 0 before the first. */
  get lastUploadMs(): number {
    return this.#lastUploadMs;
  }

  /**
   * Waits for the first run of this session, before the first message: nobody can take it for genuine,
   * or answer it, before the device's keys are known.
   */
  async flushFirst(deadlineMs: number): Promise<void> {
    this.#first ??= this.flush();
    try {
      await withDeadline(this.#first, deadlineMs, this.#clock);
    } catch (error) {
      this.#first = null;
      if (!(error instanceof DeadlinePassed)) throw error;
      this.#logger.warn(
        "the device's keys are not at the homeserver yet; a message goes out first",
      );
    }
  }

  /** Resolves when everything due at the time of the call was sent and answered. */
  flush(): Promise<void> {
    return this.#run.run();
  }

  /** Sends one request of the engine and hands it the answer. */
  async send(request: EngineRequest, deadlineMs?: number): Promise<void> {
    const deadline = deadlineMs === undefined ? {} : { deadlineMs };
    if (request instanceof KeysUploadRequest) return this.#upload(request);
    if (request instanceof KeysQueryRequest) {
      const body = withTimeout(request.body, deadlineMs);
      const options = { body, ...deadline, failFast: true };
      const answer = await this.#api.call("POST", "/v3/keys/query", options);
      return this.#sent(request.id, RequestType.KeysQuery, answer);
    }
    if (request instanceof KeysClaimRequest) {
      const body = withTimeout(request.body, deadlineMs);
      const answer = await this.#api.call("POST", "/v3/keys/claim", { body, ...deadline });
      return this.#sent(request.id, RequestType.KeysClaim, answer);
    }
    if (request instanceof ToDeviceRequest) {
      const path = `/v3/sendToDevice/${encodeURIComponent(request.event_type)}/${encodeURIComponent(request.txn_id)}`;
      const answer = await this.#api.call("PUT", path, { body: request.body, ...deadline });
      return this.#sent(request.id, RequestType.ToDevice, answer);
    }
    if (request instanceof SignatureUploadRequest) {
      const answer = await this.#api.call("POST", "/v3/keys/signatures/upload", {
        body: request.body,
      });
      return this.#sent(request.id ?? "", RequestType.SignatureUpload, answer);
    }
    if (request instanceof RoomMessageRequest) {
      const parts = [request.room_id, "send", request.event_type, request.txn_id];
      const path = `/v3/rooms/${parts.map(encodeURIComponent).join("/")}`;
      const answer = await this.#api.call("PUT", path, { body: request.body });
      return this.#sent(request.id, RequestType.RoomMessage, answer);
    }
    throw new Error(`the engine asks for a request of unknown type ${request.constructor.name}`);
  }

  async #rounds(): Promise<void> {
    for (let round = 0; round < maxRounds; round++) {
      const requests = await this.#machine.outgoingRequests();
      const due = requests.filter(
        (request) => !(request instanceof KeysUploadRequest && this.#uploadsStopped),
      );
      if (due.length === 0) return;
      const outcomes = await Promise.allSettled(due.map((request) => this.send(request)));
      const failure = outcomes.find((outcome) => outcome.status === "rejected");
      if (failure !== undefined) throw failure.reason;
    }
  }

  async #upload(request: KeysUploadRequest): Promise<void> {
    if (!this.#mayUpload()) {
      this.#logger.warn("too many key uploads asked for: the homeserver's key counts may be wrong");
      return;
    }
    try {
      const answer = await this.#api.call("POST", "/v3/keys/upload", {
        body: request.body,
        failFast: true,
      });
      await this.#sent(request.id, RequestType.KeysUpload, answer);
      this.#lastUploadMs = this.#clock.now();
    } catch (error) {
      const isRefusal = error instanceof OwnRequestRefused && error.upstreamErrcode !== "";
      if (!isRefusal || error.upstreamStatus !== 400) throw error;
      // Nothing in a well-formed upload can be wrong but keys that are there already.
      this.#uploadsStopped = true;
      this.#onKeysRefused();
      throw error;
    }
  }

  #mayUpload(): boolean {
    const now = this.#clock.now();
    const refill = Math.floor((now - this.#uploadsAt) / uploadRefillMs);
    if (refill > 0) {
      this.#uploads = Math.min(uploadBurst, this.#uploads + refill);
      this.#uploadsAt += refill * uploadRefillMs;
    }
    if (this.#uploads === 0) return false;
    this.#uploads -= 1;
    return true;
  }

  async #sent(id: string, type: RequestType, answer: string): Promise<void> {
    await this.#engine.call(() => this.#machine.markRequestAsSent(id, type, answer));
  }
}

/** Bounds how long the homeserver waits for other servers, in its own body parameter `timeout`. */
function withTimeout(body: string, timeoutMs: number | undefined): string {
  const parsed = parseObject(body);
  if (parsed === null || timeoutMs === undefined) return body;
  return JSON.stringify({ ...parsed, timeout: Math.max(100, Math.round(timeoutMs)) });
}
