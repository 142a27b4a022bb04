import type { UpstreamResponse } from "../homeserver/homeserver.ts";
import type { JsonObject } from "../matrix/json.ts";
import { parseObject } from "../matrix/json.ts";
import type { Call, Reply } from "./call.ts";

/** The JSON object that a 200 carries; null for any other answer. */
export function okObject(response: UpstreamResponse): JsonObject | null {
  return response.statusCode === 200 ? parseObject(response.body.toString("utf8")) : null;
}

/** The upstream answer with another JSON body; what described the old body is left out. */
export function withBody(response: UpstreamResponse, body: JsonObject): Reply {
  const headers = { ...response.headers };
  delete headers["etag"];
  delete headers["content-md5"];
  return { statusCode: response.statusCode, headers, body: JSON.stringify(body) };
}

/** Where clients reach this proxy: the configured URL, else what the client itself called it. Never with a trailing slash. */
export function publicUrl(call: Call, configured: URL | null): string {
  if (configured !== null) return configured.href.replace(/\/+$/, "");
  return `http://${call.headers.host ?? "localhost"}`;
}
