import { createHash } from "node:crypto";
import type { DeviceAddress, DeviceId, UserId } from "../matrix/identifiers.ts";

/** A token that speaks for a device. Identity is (user, device): several tokens may share it. */
export interface Account extends DeviceAddress {
  readonly token: string;
}

/** A token without a device (an appservice's own, some guests'): nothing is encrypted or decrypted for it. */
export interface DevicelessAccount {
  readonly userId: UserId;
  readonly deviceId: null;
  readonly token: string;
}

/** Whom a token speaks for; `deviceId` tells the two apart. */
export type Identity = Account | DevicelessAccount;

/**
 * Whom a request of an application service speaks for, as its query says. Only the homeserver's answer
 * decides: for any other token it ignores this.
 *
 * @see https://spec.matrix.org/v1.17/application-service-api/#identity-assertion
 */
export interface Masquerade {
  readonly userId?: string;
  readonly deviceId?: string;
}

/** An identity for these ids. */
export function identityOf(token: string, userId: UserId, deviceId: DeviceId | null): Identity {
  return deviceId === null ? { userId, deviceId, token } : { userId, deviceId, token };
}

/** Whether a request speaks for itself only. */
export function isEmpty({ userId, deviceId }: Masquerade): boolean {
  return userId === undefined && deviceId === undefined;
}

/** Whether both name the same user and device. */
export function isSameOwner(
  a: Pick<Identity, "userId" | "deviceId">,
  b: Pick<Identity, "userId" | "deviceId">,
): boolean {
  return a.userId === b.userId && a.deviceId === b.deviceId;
}

/** SHA-256 of the token, and of the masquerade where there is one; base64. */
export function identityHash(token: string, masquerade: Masquerade = {}): string {
  const hash = createHash("sha256").update(token);
  if (!isEmpty(masquerade)) {
    // A token holds no line feed: none alone has the hash of another with a masquerade.
    hash.update(`\n${JSON.stringify([masquerade.userId ?? null, masquerade.deviceId ?? null])}`);
  }
  return hash.digest("base64");
}
