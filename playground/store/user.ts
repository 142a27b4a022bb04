import type { JsonObject } from "../json.ts";
import type { Device } from "./device.ts";

/** A value with the position of its last change in the main stream. */
export interface Versioned<T> {
  readonly value: T;
  readonly position: number;
}

/** A cross-signing signature that was uploaded apart from the key it is for. */
export interface UploadedSignature {
  readonly signer: string;
  /** Device id, or the public key of a cross-signing key. */
  readonly target: string;
  readonly keyId: string;
  readonly signature: string;
}

/** The three public cross-signing keys of a user. */
export type CrossSigningUsage = "master" | "self_signing" | "user_signing";

/** A local user with everything that belongs to it. */
export class User {
  readonly userId: string;
  readonly passwordOrNull: string | null;
  readonly appserviceId: string | null;
  readonly isAdmin: boolean;
  displayName: string | null;
  avatarUrl: string | null = null;
  readonly devices = new Map<string, Device>();
  readonly filters: JsonObject[] = [];
  readonly accountData = new Map<string, Versioned<JsonObject>>();
  readonly roomAccountData = new Map<string, Map<string, Versioned<JsonObject>>>();
  readonly crossSigning = new Map<CrossSigningUsage, JsonObject>();
  /** Signatures on this user's keys, whoever made them. */
  readonly signatures: UploadedSignature[] = [];
  /** Rooms the user has ever had a membership in. */
  readonly rooms = new Set<string>();
  readonly forgotten = new Set<string>();
  /** Every `set_presence` that a sync of the user stood for, in order. */
  readonly presenceShown: string[] = [];

  constructor(o: {
    readonly userId: string;
    readonly password: string | null;
    readonly appserviceId: string | null;
    readonly isAdmin: boolean;
  }) {
    this.userId = o.userId;
    this.passwordOrNull = o.password;
    this.appserviceId = o.appserviceId;
    this.isAdmin = o.isAdmin;
    this.displayName = o.userId.slice(1, o.userId.indexOf(":"));
  }
}
