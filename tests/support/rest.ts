import { setTimeout as delay } from "node:timers/promises";

import { asRecord } from "./json.ts";

/** One request to a homeserver or a proxy, as a test makes it. */
export interface RestRequest {
  readonly method?: string;
  /** Access token for the Authorization header. */
  readonly token?: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer of any status. */
export interface RestResponse {
  readonly status: number;
  readonly headers: Headers;
  /** The body as it came. */
  readonly text: string;
  /** The body parsed; an empty object where it is no JSON object. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** Sends one request and returns whatever came back. Rejects only where nothing came back. */
export async function rest(url: string, request: RestRequest = {}): Promise<RestResponse> {
  const headers: Record<string, string> = { ...request.headers };
  if (request.token !== undefined) headers["Authorization"] = `Bearer ${request.token}`;
  if (request.body !== undefined) headers["Content-Type"] ??= "application/json";
  const response = await fetch(url, {
    method: request.method ?? "GET",
    headers,
    redirect: "manual",
    ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: parseObject(text) };
}

/**
 * As {@link rest}, for the steps of a test that must succeed: waits out rate limits (which are not
 * what the test is about) and throws on any other answer than a 2xx.
 */
export async function restOk(
  url: string,
  request: RestRequest = {},
): Promise<Readonly<Record<string, unknown>>> {
  for (;;) {
    const response = await rest(url, request);
    if (response.status >= 200 && response.status < 300) return response.json;
    if (response.status === 429) {
      await delay(retryAfterMs(response));
      continue;
    }
    const path = new URL(url).pathname;
    throw new Error(
      `${request.method ?? "GET"} ${path}: expected a 2xx, got ${response.status}: ${response.text}`,
    );
  }
}

function retryAfterMs(response: RestResponse): number {
  const milliseconds = response.json["retry_after_ms"];
  if (typeof milliseconds === "number") return milliseconds;
  return Number(response.headers.get("retry-after") ?? "1") * 1000;
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    return asRecord(JSON.parse(text));
  } catch {
    return {};
  }
}
