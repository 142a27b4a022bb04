import type { Call } from "../call.ts";
import { ApiError, invalidParam, unknownError } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { isObject } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { User } from "../store/user.ts";
import { decodeToken } from "../stream-token.ts";
import type { StreamToken } from "../stream-token.ts";
import { SyncFilter, requireValidFilter, withTimelineLimit } from "../sync/filter.ts";
import { buildSyncResponse } from "../sync/sync-response.ts";
import type { ApiContext } from "./context.ts";

/** GET /sync. A `since` deletes the to-device messages it covers before anything else happens. */
export function syncRoutes(context: ApiContext): Route[] {
  const { store } = context;

  const sync = async (call: Call): Promise<Reply> => {
    if (call.query.has("from")) {
      throw unknownError("'from' is not a valid query parameter. Did you mean 'since'?");
    }
    const { user, userId, device, deviceId, appservice } = call.requester();
    if (appservice !== null && userId === appservice.senderId) {
      // Synapse does not support it either
      throw new ApiError(500, "M_UNKNOWN", "Internal server error");
    }
    const timeoutMs = call.integer("timeout", 0);
    const fullState = call.query.get("full_state") === "true";
    const filterText = call.query.get("filter");
    const filter = new SyncFilter(readFilter(context, user, filterText));
    const sinceText = call.query.get("since");
    const since = sinceText === null ? null : bounded(context, decodeToken(sinceText));
    const setPresence = call.query.get("set_presence");
    if (setPresence !== null && !["online", "offline", "unavailable"].includes(setPresence)) {
      throw invalidParam(
        "Query parameter 'set_presence' must be one of ['offline', 'online', 'unavailable']",
      );
    }
    store.syncRequests.push({
      userId,
      deviceId,
      since: sinceText,
      timeoutMs,
      filter: filterText,
      fullState,
      setPresence,
    });
    user.presenceShown.push(setPresence ?? "online");
    if (since !== null && device !== null) store.toDevice.acknowledge(device, since.toDevice);

    const end = Date.now() + timeoutMs;
    for (;;) {
      const response = buildSyncResponse({ store, user, device, filter, since, fullState });
      const leftMs = end - Date.now();
      const mayWait = since !== null && !fullState && leftMs > 0 && !call.signal.aborted;
      if (!response.isEmpty || !mayWait) return ok(response.body);
      await store.notifier.wait(userId, leftMs, call.signal);
    }
  };
  return client("GET", "sync", sync);
}

// a token from before a restart with an older database may be ahead of everything
function bounded(context: ApiContext, token: StreamToken): StreamToken {
  return {
    main: Math.min(token.main, context.store.notifier.position),
    toDevice: Math.min(token.toDevice, context.store.toDevice.position),
  };
}

function readFilter(context: ApiContext, user: User, text: string | null): JsonObject {
  if (text === null) return {};
  if (!text.startsWith("{")) {
    const stored = /^\d+$/.test(text) ? user.filters[Number(text)] : undefined;
    if (stored === undefined) throw invalidParam("No such filter");
    return stored;
  }
  let filter: unknown;
  try {
    filter = JSON.parse(text) as unknown;
  } catch {
    throw new ApiError(400, "M_NOT_JSON", "Invalid filter JSON");
  }
  if (!isObject(filter)) throw new ApiError(400, "M_NOT_JSON", "Invalid filter JSON");
  requireValidFilter(filter);
  return withTimelineLimit(filter, context.settings.filterTimelineLimit);
}
