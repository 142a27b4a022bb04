import type { JsonObject } from "../json.ts";
import type { User } from "../store/user.ts";

/** The profile as it stands in the user's member events. */
export function memberContent(user: User): JsonObject {
  return {
    ...(user.displayName === null ? {} : { displayname: user.displayName }),
    ...(user.avatarUrl === null ? {} : { avatar_url: user.avatarUrl }),
  };
}
