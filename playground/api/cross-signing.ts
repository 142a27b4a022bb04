import type { Call } from "../call.ts";
import { ApiError, invalidParam } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { canonicalJson, isObject, objectOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { CrossSigningUsage, User } from "../store/user.ts";
import { requirePassword } from "./account.ts";
import type { ApiContext } from "./context.ts";

const USAGES: readonly CrossSigningUsage[] = ["master", "self_signing", "user_signing"];

/** Cross-signing keys and signatures. */
export function crossSigningRoutes(context: ApiContext): Route[] {
  const { accounts, deviceLists } = context.store;

  const upload = (call: Call): Reply => {
    const { user, appservice } = call.requester();
    const body = call.json();
    const given = USAGES.map((usage) => [usage, body[`${usage}_key`]] as const).filter(
      (entry): entry is readonly [CrossSigningUsage, JsonObject] => isObject(entry[1]),
    );
    const isSame = given.every(([usage, key]) => sameKeys(user.crossSigning.get(usage), key));
    if (isSame) return ok();
    const master = body["master_key"];
    if (!isObject(master) && user.crossSigning.size === 0) {
      throw invalidParam("No master key available");
    }
    if (user.crossSigning.size > 0 && appservice === null) {
      const challenge = requirePassword(user, body);
      if (challenge !== null) return challenge;
    }
    for (const [usage, key] of given) user.crossSigning.set(usage, key);
    deviceLists.changed(user.userId);
    return ok();
  };

  const signatures = (call: Call): Reply => {
    const { userId } = call.requester();
    const failures: [string, JsonObject][] = [];
    for (const [targetUser, targets] of Object.entries(call.json())) {
      const user = accounts.users.get(targetUser);
      for (const [target, signed] of Object.entries(objectOr(targets))) {
        const made = objectOr(objectOr(objectOr(signed)["signatures"])[userId]);
        if (user === undefined || !isKnownKey(user, target)) {
          const error = { errcode: "M_NOT_FOUND", error: "Key not found" };
          failures.push([targetUser, { [target]: error }]);
          continue;
        }
        for (const [keyId, signature] of Object.entries(made)) {
          if (typeof signature !== "string") {
            throw new ApiError(400, "M_INVALID_SIGNATURE", "Invalid signature");
          }
          user.signatures.push({ signer: userId, target, keyId, signature });
        }
      }
      // a signature on another's key shows to the signer alone
      deviceLists.changed(targetUser === userId ? targetUser : userId);
    }
    return ok({ failures: Object.fromEntries(failures) });
  };
  return [
    ...client("POST", "keys/device_signing/upload", upload),
    ...client("POST", "keys/signatures/upload", signatures),
  ];
}

function sameKeys(a: JsonObject | undefined, b: JsonObject): boolean {
  return a !== undefined && canonicalJson(a["keys"]) === canonicalJson(b["keys"]);
}

function isKnownKey(user: User, target: string): boolean {
  if (user.devices.get(target)?.keys != null) return true;
  return [...user.crossSigning.values()].some((key) =>
    Object.values(objectOr(key["keys"])).includes(target),
  );
}
