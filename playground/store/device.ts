import type { JsonObject } from "../json.ts";

/** A to-device event in a device's inbox. */
export interface ToDeviceMessage {
  /** Position in the to-device stream. */
  readonly position: number;
  readonly sender: string;
  readonly type: string;
  readonly content: JsonObject;
}

/** A fallback key; one for each algorithm. */
export interface FallbackKey {
  readonly keyId: string;
  readonly key: unknown;
  used: boolean;
}

/** A device with its public keys and its inbox. */
export class Device {
  readonly userId: string;
  readonly deviceId: string;
  displayName: string | null;
  lastSeenTs: number;
  /** What was uploaded as `device_keys`; null before. */
  keys: JsonObject | null = null;
  /** `algorithm:id` to key, oldest first. */
  readonly oneTimeKeys = new Map<string, unknown>();
  /** By algorithm. */
  readonly fallbackKeys = new Map<string, FallbackKey>();
  /** Undelivered or unacknowledged to-device events, oldest first. */
  inbox: ToDeviceMessage[] = [];

  constructor(userId: string, deviceId: string, displayName: string | null) {
    this.userId = userId;
    this.deviceId = deviceId;
    this.displayName = displayName;
    this.lastSeenTs = Date.now();
  }

  /** One-time keys left by algorithm; `signed_curve25519` is always there. */
  oneTimeKeyCounts(): Record<string, number> {
    const counts: Record<string, number> = { signed_curve25519: 0 };
    for (const id of this.oneTimeKeys.keys()) {
      const algorithm = algorithmOf(id);
      counts[algorithm] = (counts[algorithm] ?? 0) + 1;
    }
    return counts;
  }

  /** Algorithms whose fallback key nobody has claimed yet. */
  unusedFallbackKeyTypes(): string[] {
    return [...this.fallbackKeys].filter(([, key]) => !key.used).map(([algorithm]) => algorithm);
  }

  /** Takes a one-time key, else the fallback key (which stays and is marked used). */
  claim(algorithm: string): readonly [id: string, key: unknown] | null {
    for (const [id, key] of this.oneTimeKeys) {
      if (algorithmOf(id) !== algorithm) continue;
      this.oneTimeKeys.delete(id);
      return [id, key];
    }
    const fallback = this.fallbackKeys.get(algorithm);
    if (fallback === undefined) return null;
    fallback.used = true;
    return [`${algorithm}:${fallback.keyId}`, fallback.key];
  }
}

/** The algorithm of a key id `algorithm:id`. */
export function algorithmOf(id: string): string {
  return id.slice(0, id.indexOf(":"));
}
