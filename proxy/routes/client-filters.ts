import { MatrixError } from "../matrix/errors.ts";
import { widenSyncFilter } from "../matrix/filter.ts";
import { asObject, type JsonObject, parseObject } from "../matrix/json.ts";
import { IDENTITY_PARAMETERS, keptQuery } from "../matrix/request-target.ts";
import type { Call } from "./call.ts";

/** How many stored filters are remembered; they never change. */
const maxCached = 1_000;
/** Longer inline filters are stored at the homeserver instead: request lines are bounded. */
const maxInlineLength = 4_000;

/** A client's filter for `/sync`, and the wider one that goes upstream in its place. */
export interface SyncFilter {
  /** `null` where the client gave none. */
  readonly own: JsonObject | null;
  /** The value of the upstream `filter` parameter; `null` for none. */
  readonly upstream: string | null;
}

/**
 * Resolves the `filter` of a `/sync`: inline JSON, or the id of a filter stored at the homeserver.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#filtering
 */
export class ClientFilters {
  readonly #stored = new Map<string, JsonObject>();
  readonly #uploaded = new Map<string, string>();

  /** @throws MatrixError 400 for a filter that is no JSON object; the homeserver's own refusal */
  async resolve(call: Call, userId: string): Promise<SyncFilter> {
    const value = call.query.get("filter");
    if (value === null || value === "") return { own: null, upstream: null };
    const own = value.startsWith("{") ? inline(value) : await this.#fetch(call, userId, value);
    const widened = JSON.stringify(widenSyncFilter(own));
    const upstream =
      widened.length <= maxInlineLength ? widened : await this.#upload(call, userId, widened);
    return { own, upstream };
  }

  async #fetch(call: Call, userId: string, id: string): Promise<JsonObject> {
    const key = `${userId}\n${id}`;
    const known = this.#stored.get(key);
    if (known !== undefined) return known;
    const response = await call.forward({
      method: "GET",
      path: filterPath(call, userId, `/${encodeURIComponent(id)}`),
    });
    if (response.statusCode === 404) {
      // What /sync itself answers: only of the filter's own endpoint it is the 404.
      throw new MatrixError(400, "M_INVALID_PARAM", "there is no filter with this id");
    }
    const filter = asObject(parseObject(response.body.toString("utf8")));
    if (response.statusCode !== 200 || filter === null) {
      const errcode = filter?.["errcode"];
      throw new MatrixError(
        response.statusCode === 200 ? 502 : response.statusCode,
        typeof errcode === "string" ? errcode : "M_UNKNOWN",
        "the filter with this id cannot be had from the homeserver",
      );
    }
    remember(this.#stored, key, filter);
    return filter;
  }

  async #upload(call: Call, userId: string, widened: string): Promise<string> {
    const key = `${userId}\n${widened}`;
    const known = this.#uploaded.get(key);
    if (known !== undefined) return known;
    const response = await call.forward({
      method: "POST",
      path: filterPath(call, userId, ""),
      body: widened,
      headers: { "content-type": "application/json" },
    });
    const id = parseObject(response.body.toString("utf8"))?.["filter_id"];
    if (response.statusCode !== 200 || typeof id !== "string") {
      throw new MatrixError(502, "M_UNKNOWN", "the homeserver did not store the sync filter");
    }
    remember(this.#uploaded, key, id);
    return id;
  }
}

/** A path of the filter endpoints, with what authorises the call in its query. */
function filterPath(call: Call, userId: string, rest: string): string {
  const suffix = keptQuery(call.query, ["access_token", ...IDENTITY_PARAMETERS]);
  return `/_matrix/client/v3/user/${encodeURIComponent(userId)}/filter${rest}${suffix}`;
}

function inline(value: string): JsonObject {
  const filter = parseObject(value);
  if (filter === null) throw new MatrixError(400, "M_NOT_JSON", "expected a filter in JSON");
  return filter;
}

function remember<T>(cache: Map<string, T>, key: string, value: T): void {
  if (cache.size >= maxCached) cache.delete(cache.keys().next().value ?? "");
  cache.set(key, value);
}
