import type { JsonObject } from "../json.ts";
import { objectOr } from "../json.ts";
import type { CrossSigningUsage, UploadedSignature, User } from "../store/user.ts";

/** The keys of these devices (none named: all), with the signatures uploaded for them. */
export function deviceKeys(user: User, deviceIds: readonly string[]): JsonObject {
  const answers: [string, unknown][] = [];
  for (const device of user.devices.values()) {
    if (device.keys === null) continue;
    if (deviceIds.length > 0 && !deviceIds.includes(device.deviceId)) continue;
    const signatures = user.signatures.filter(
      (signature) => signature.target === device.deviceId && signature.signer === user.userId,
    );
    const unsigned = device.displayName === null ? {} : { device_display_name: device.displayName };
    answers.push([device.deviceId, { ...withSignatures(device.keys, signatures), unsigned }]);
  }
  return Object.fromEntries(answers);
}

/** A cross-signing key; what others signed is shown to the signer only. */
export function crossSigningKey(
  user: User,
  usage: CrossSigningUsage,
  reader: string,
): JsonObject | null {
  const key = user.crossSigning.get(usage);
  if (key === undefined) return null;
  const publicKeys = Object.values(objectOr(key["keys"]));
  const signatures = user.signatures.filter(
    (signature) =>
      publicKeys.includes(signature.target) &&
      (signature.signer === user.userId || signature.signer === reader),
  );
  return withSignatures(key, signatures);
}

function withSignatures(key: JsonObject, signatures: readonly UploadedSignature[]): JsonObject {
  if (signatures.length === 0) return key;
  const merged = new Map(
    Object.entries(objectOr(key["signatures"])).map(([signer, made]) => [signer, objectOr(made)]),
  );
  for (const { signer, keyId, signature } of signatures) {
    merged.set(signer, { ...merged.get(signer), [keyId]: signature });
  }
  return { ...key, signatures: Object.fromEntries(merged) };
}
