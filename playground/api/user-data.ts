import type { Call } from "../call.ts";
import { ApiError, badJson, forbidden, notFound } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { stringOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { User, Versioned } from "../store/user.ts";
import { EMPTY_PUSH_RULES } from "../sync/sync-response.ts";
import { requireValidFilter, withTimelineLimit } from "../sync/filter.ts";
import type { ApiContext } from "./context.ts";
import { memberContent } from "./member-content.ts";

/** Profile, account data, filters. */
export function userDataRoutes(context: ApiContext): Route[] {
  const { accounts, notifier, rooms } = context.store;

  const own = (call: Call): User => {
    const { user, userId } = call.requester();
    if (call.param("userId") !== userId) throw forbidden("Cannot act for other users.");
    return user;
  };
  const dataOf = (call: Call, user: User): Map<string, Versioned<JsonObject>> => {
    const roomId = call.params["roomId"];
    if (roomId === undefined) return user.accountData;
    const data = user.roomAccountData.get(roomId) ?? new Map<string, Versioned<JsonObject>>();
    user.roomAccountData.set(roomId, data);
    return data;
  };
  const putData = (call: Call): Reply => {
    const user = own(call);
    const type = call.param("type");
    if (type === "m.fully_read") throw badJson("Cannot set m.fully_read through this API.");
    dataOf(call, user).set(type, { value: call.json(), position: notifier.next() });
    notifier.wake([user.userId]);
    return ok();
  };
  const getData = (call: Call): Reply => {
    const entry = dataOf(call, own(call)).get(call.param("type"));
    if (entry === undefined) throw notFound("Account data not found");
    return ok(entry.value);
  };
  const putProfile =
    (field: "displayName" | "avatarUrl", member: string) =>
    (call: Call): Reply => {
      const { user, userId } = call.requester();
      if (call.param("userId") !== userId) {
        throw new ApiError(400, "M_FORBIDDEN", `Cannot set another user's ${member}`);
      }
      const value = stringOr(call.json()[member]);
      user[field] = value === "" ? null : value;
      for (const room of rooms.of(userId, "join")) {
        const content = { ...memberContent(user), membership: "join" };
        rooms.send(room, { type: "m.room.member", sender: userId, stateKey: userId, content });
      }
      return ok();
    };
  const profileOf = (call: Call): JsonObject => {
    const user = accounts.users.get(call.param("userId"));
    if (user === undefined) throw new ApiError(404, "M_UNKNOWN", "No row found (profiles)");
    return memberContent(user);
  };
  const getProfile = (call: Call): Reply => ok(profileOf(call));
  const getProfileField = (call: Call, field: string): Reply => {
    const profile = profileOf(call);
    return ok({ [field]: profile[field] ?? null });
  };
  const addFilter = (call: Call): Reply => {
    const user = own(call);
    const filter = call.json();
    requireValidFilter(filter);
    user.filters.push(withTimelineLimit(filter, context.settings.filterTimelineLimit));
    return ok({ filter_id: String(user.filters.length - 1) });
  };
  const getFilter = (call: Call): Reply => {
    const filter = own(call).filters[Number(call.param("filterId"))];
    if (filter === undefined) throw notFound("No such filter");
    return ok(filter);
  };
  const old = ["api/v1"];
  return [
    ...["user/{userId}/account_data/{type}", "user/{userId}/rooms/{roomId}/account_data/{type}"]
      .map((path) => [...client("PUT", path, putData), ...client("GET", path, getData)])
      .flat(),
    ...client("PUT", "profile/{userId}/displayname", putProfile("displayName", "displayname"), old),
    ...client("PUT", "profile/{userId}/avatar_url", putProfile("avatarUrl", "avatar_url"), old),
    ...client("GET", "profile/{userId}", getProfile, old),
    ...["displayname", "avatar_url"].flatMap((field) =>
      client("GET", `profile/{userId}/${field}`, (call) => getProfileField(call, field), old),
    ),
    ...client("POST", "user/{userId}/filter", addFilter),
    ...client("GET", "user/{userId}/filter/{filterId}", getFilter),
    ...client("GET", "pushrules/", () => ok(EMPTY_PUSH_RULES), old),
    ...client("GET", "pushrules/global/", () => ok(EMPTY_PUSH_RULES["global"]), old),
  ];
}
