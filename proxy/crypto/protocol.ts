import type { ReadShape } from "../matrix/event-places.ts";
import type { EncryptedMedia } from "../matrix/encrypted-file.ts";
import type { DeviceAddress, RoomId } from "../matrix/identifiers.ts";
import type { JsonObject } from "../matrix/json.ts";

/**
 * What crosses the boundary between the HTTP front and the session hosts on their worker threads.
 * The boundary is coarse: whole bodies in, whole bodies out. Everything here is structured-clonable.
 */

/** Which devices of others may receive room keys; the engine's strategies under plain names. */
export type TrustPolicy = "all" | "tofu" | "cross-signed" | "verified";

/** What a session host needs to know of a homeserver section. */
export interface HostSection {
  readonly name: string;
  readonly homeserver: string;
  readonly verifyTls: boolean;
  readonly upstreamProxy: string | null;
  readonly upstreamTimeoutMs: number;
  readonly trust: TrustPolicy;
  readonly freshness: "barrier" | "stream";
  readonly sendDeadlineMs: number;
  readonly lateKeyTimeoutMs: number;
  readonly markDecrypted: boolean;
  readonly hideEncryption: boolean;
}

/** Everything that opening one device's session takes. */
export interface DeviceOpening extends DeviceAddress {
  readonly section: string;
  readonly token: string;
  readonly path: string;
  readonly key: Uint8Array;
  readonly isNew: boolean;
  /** The generation that the store must have at least; a lower one is an old copy put back. */
  readonly generation: number;
  /** The whole section's store is an old copy put back. */
  readonly rolledBack: boolean;
  /** The client encrypts by itself, or another owner holds the device: our keys stay unused. */
  readonly foreign: boolean;
}

/** An event that was fed when the wasm failed. */
export interface SuspectReport {
  /** The event's id, or a hash of it. */
  readonly id: string;
  readonly type: string | null;
  readonly sender: string | null;
  /** Nothing else was under way. */
  readonly alone: boolean;
}

/** A device that had a call under way when the wasm failed, and the events that it fed. */
export interface TrapReport {
  readonly device: DeviceAddress;
  readonly suspects: readonly SuspectReport[];
}

/**
 * - `ours`: this session made the device's keys.
 * - `foreign`: somebody else's keys are at the homeserver for this device; nothing is encrypted.
 * - `unknown`: the homeserver could not be asked yet.
 * - `rolled-back`: the store is older than the last one used; nothing is encrypted.
 */
export type Ownership = "ours" | "foreign" | "unknown" | "rolled-back";

export interface OpenResult {
  readonly ownership: Ownership;
  /** The number that the store's file carries now. */
  readonly generation: number;
  /** Up to where the feed was taken; `null` before the first time. */
  readonly feedPosition: string | null;
  /** The device's fingerprint key, unpadded base64. */
  readonly ed25519: string;
}

/** The settings of a room's encryption, as its pin holds them. */
export interface RoomEncryption {
  readonly algorithm: string;
  readonly rotationPeriodMs: number | null;
  readonly rotationPeriodMessages: number | null;
}

export interface EncryptArgs {
  readonly roomId: RoomId;
  readonly eventType: string;
  /** The client's transaction id; `null` for a send without one. */
  readonly txnId: string | null;
  /** The plaintext content, JSON text of an object. */
  readonly content: string;
  readonly encryption: RoomEncryption;
}

export interface EncryptResult {
  /** The content of the `m.room.encrypted` event, JSON text. */
  readonly content: string;
}

/** A response of `/sync` on its way in. */
export interface SyncArgs {
  readonly body: Uint8Array;
  /** The `since` that was sent upstream; `null` for an initial sync. */
  readonly since: string | null;
  /** The client's cursor into the owed events; `null` where it holds none. */
  readonly cursor: number | null;
  /** The client's own filter, applied after decryption; `null` for none. */
  readonly filter: JsonObject | null;
  /** `own` where our own loop asked: only the feed is taken. */
  readonly source: "client" | "own";
  /** Serial number of the upstream request, and the smallest of those still under way. */
  readonly serial: number;
  readonly oldestSerial: number;
  /** When the upstream request was sent, milliseconds since the epoch. */
  readonly startedMs: number;
}

/** An encryption setting seen in a room: `null` content where only a ciphertext was seen. */
export interface SeenEncryption {
  readonly roomId: RoomId;
  readonly content: JsonObject | null;
}

export interface SyncResult {
  /** What the client gets; `null` where our own loop asked. */
  readonly body: Uint8Array | null;
  /** `next_batch` as the homeserver gave it. */
  readonly nextBatch: string;
  /** The cursor that `next_batch` carries for the client; `null` where nothing is outstanding. */
  readonly cursor: number | null;
  /** True where nothing in it would make a homeserver end a long poll. */
  readonly empty: boolean;
  readonly pins: readonly SeenEncryption[];
  /** Attachments whose keys stood in events of the body. */
  readonly media: readonly EncryptedMedia[];
  /** How many to-device events came along, whatever their type. */
  readonly toDeviceCount: number;
}

/** A response with room events that is not a sync. */
export interface ReadArgs {
  readonly shape: ReadShape;
  readonly body: Uint8Array;
  /** The room that the request named; `null` where it named none. */
  readonly roomId: RoomId | null;
  /** The client's own room event filter, applied after decryption; `null` for none. */
  readonly filter: JsonObject | null;
}

export interface ReadResult {
  /** The very bytes of the response where nothing in it was changed. */
  readonly body: Uint8Array;
  readonly pins: readonly SeenEncryption[];
  /** Attachments whose keys stood in events of the body. */
  readonly media: readonly EncryptedMedia[];
  /** How many events were dropped by the client's own filter. */
  readonly dropped: number;
}

/** The calls that a session host answers; each names the device it is for. */
export interface HostApi {
  /** @param suspects - reported of this device since it was open last */
  open(opening: DeviceOpening, suspects: readonly SuspectReport[]): Promise<OpenResult>;
  setToken(device: DeviceAddress, token: string): Promise<void>;
  encrypt(device: DeviceAddress, args: EncryptArgs): Promise<EncryptResult>;
  sync(device: DeviceAddress, args: SyncArgs): Promise<SyncResult>;
  /** True for a position up to which the feed was taken: presenting it acknowledges nothing else. */
  isTaken(device: DeviceAddress, position: string): Promise<boolean>;
  /** Resolves when something that the cursor is owed can be delivered. */
  owedReady(device: DeviceAddress, cursor: number | null, signal: AbortSignal): Promise<void>;
  /** A response made of owed events alone, at the client's own position. */
  deliverOwed(
    device: DeviceAddress,
    args: { since: string; cursor: number | null; filter: JsonObject | null },
  ): Promise<SyncResult>;
  read(device: DeviceAddress, args: ReadArgs): Promise<ReadResult>;
  close(device: DeviceAddress): Promise<void>;
}

/** The names of {@link HostApi}'s calls. */
export type HostMethod = keyof HostApi;

/** What starts a session host. */
export interface HostStart {
  readonly sections: readonly HostSection[];
  readonly logLevel: string;
  readonly logFormat: "auto" | "json" | "pretty";
}

/** From the front to a host. A signal among the arguments is left out: `abort` stands for it. */
export type ToHost =
  | {
      readonly kind: "call";
      readonly id: number;
      readonly method: HostMethod;
      readonly args: readonly unknown[];
    }
  | { readonly kind: "abort"; readonly id: number }
  | { readonly kind: "log-level"; readonly level: string }
  | { readonly kind: "stop" };

/** From a host to the front. */
export type FromHost =
  | { readonly kind: "ready" }
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: WireError }
  /** The wasm failed: the thread is of no use any more. */
  | { readonly kind: "trap"; readonly reports: readonly TrapReport[] }
  | { readonly kind: "stopped" };

/** An error on its way between threads. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  /** SQLite's or the system's code, such as `SQLITE_FULL`. */
  readonly code: string | null;
  readonly cause: WireError | null;
  /** Set for a Matrix error: how the client is told. */
  readonly matrix: {
    readonly statusCode: number;
    readonly errcode: string;
    readonly fields: JsonObject;
  } | null;
}
