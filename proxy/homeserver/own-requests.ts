import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import { HomeserverTimeout, HomeserverUnreachable, MatrixError } from "../matrix/errors.ts";
import type { Homeserver, UpstreamResponse } from "./homeserver.ts";

/** One authenticated request of Kirjava's own. */
export interface OwnRequest {
  readonly method: string;
  readonly path: string;
  readonly token: string;
  /** An object is sent as JSON, a string as it is (already JSON). */
  readonly body?: unknown;
  /** How long to go on trying, in milliseconds from the call. */
  readonly deadlineMs?: number;
  /** A homeserver that cannot be reached is an answer at once: somebody is waiting for it. */
  readonly failFast?: boolean;
  readonly signal?: AbortSignal;
}

/** The answer that ended the tries, as text: whoever reads it narrows it. */
export interface OwnResponse {
  readonly statusCode: number;
  readonly text: string;
}

const DEFAULT_DEADLINE_MS = 60_000;
const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 10_000;

/**
 * Kirjava's own authenticated requests: rate limits are honoured, a homeserver that is down or failing is tried again with
 * exponential, jittered back-off until the deadline. A 4xx other than a rate limit is an answer and comes back at once.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#rate-limiting
 */
export class OwnRequests {
  readonly #homeserver: Homeserver;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #random: () => number;

  constructor(
    homeserver: Homeserver,
    clock: Clock,
    logger: Logger,
    random: () => number = Math.random,
  ) {
    this.#homeserver = homeserver;
    this.#clock = clock;
    this.#logger = logger;
    this.#random = random;
  }

  /**
   * Sends until an answer that is final, or until the deadline; past it the last answer (429 or 5xx) is returned.
   *
   * @throws HomeserverUnreachable, HomeserverTimeout when the last try had no answer; the signal's reason
   */
  async json(request: OwnRequest): Promise<OwnResponse> {
    const deadline = this.#clock.now() + (request.deadlineMs ?? DEFAULT_DEADLINE_MS);
    for (let attempt = 0; ; attempt += 1) {
      const outcome = await this.#attempt(request, deadline);
      if (!(outcome instanceof MatrixError) && !isTransient(outcome.statusCode))
        return toOwnResponse(outcome);
      if (request.failFast === true && outcome instanceof HomeserverUnreachable) throw outcome;
      const delayMs = this.#delay(outcome, attempt);
      if (this.#clock.now() + delayMs >= deadline) {
        if (outcome instanceof MatrixError) throw outcome;
        return toOwnResponse(outcome);
      }
      this.#logger.debug(
        {
          method: request.method,
          path: request.path.split("?", 1)[0],
          attempt,
          delayMs,
          statusCode: outcome.statusCode,
        },
        "own request is tried again",
      );
      await this.#wait(delayMs, request.signal);
    }
  }

  async #attempt(request: OwnRequest, deadline: number): Promise<UpstreamResponse | MatrixError> {
    const headers: Record<string, string> = { authorization: `Bearer ${request.token}` };
    if (request.body !== undefined) headers["content-type"] = "application/json";
    const remainingMs = deadline - this.#clock.now();
    try {
      return await this.#homeserver.request({
        method: request.method,
        path: request.path,
        headers,
        ...(request.body === undefined ? {} : { body: toJson(request.body) }),
        ...(request.signal === undefined ? {} : { signal: request.signal }),
        timeoutMs: Math.max(1, Math.min(this.#homeserver.timeoutMs, remainingMs)),
      });
    } catch (error) {
      // Unreachable and timed out are tried again; an abort, an oversized answer or our own mistake is not.
      if (error instanceof HomeserverUnreachable || error instanceof HomeserverTimeout) {
        return error;
      }
      throw error;
    }
  }

  #delay(outcome: UpstreamResponse | MatrixError, attempt: number): number {
    if (!(outcome instanceof MatrixError)) {
      const asked = retryAfterMs(outcome, this.#clock.now());
      if (asked !== null) return asked;
    }
    const ceiling = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt, 10));
    // Half fixed, half random: thousands of devices must not come back in the same moment after an outage.
    return Math.ceil(ceiling / 2 + (this.#random() * ceiling) / 2);
  }

  #wait(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = (): void => {
        cancel();
        reject(signal?.reason as Error);
      };
      const cancel = this.#clock.after(delayMs, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}

/**
 * How long the homeserver asks to wait, in milliseconds: the body's `retry_after_ms`, else the Retry-After header in seconds or
 * as a date; null when it does not say.
 */
export function retryAfterMs(response: UpstreamResponse, nowMs: number): number | null {
  if (response.statusCode === 429) {
    const fromBody = retryAfterOfBody(response.body);
    if (fromBody !== null) return fromBody;
  }
  const header = response.headers["retry-after"];
  if (typeof header !== "string") return null;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}

function retryAfterOfBody(body: Buffer): number | null {
  try {
    const parsed: unknown = JSON.parse(body.toString("utf8"));
    if (typeof parsed !== "object" || parsed === null || !("retry_after_ms" in parsed)) return null;
    const value = parsed.retry_after_ms;
    return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
  } catch {
    return null;
  }
}

function isTransient(statusCode: number): boolean {
  return statusCode === 429 || statusCode >= 500;
}

function toOwnResponse(response: UpstreamResponse): OwnResponse {
  return { statusCode: response.statusCode, text: response.body.toString("utf8") };
}

function toJson(body: unknown): string {
  return typeof body === "string" ? body : JSON.stringify(body);
}
