import type { ServerResponse } from "node:http";
import { pino } from "pino";
import { afterEach, describe, expect, it } from "vitest";
import type { Clock } from "../../../proxy/clock.ts";
import { Homeserver } from "../../../proxy/homeserver/homeserver.ts";
import { OwnRequests, retryAfterMs } from "../../../proxy/homeserver/own-requests.ts";
import { deferred, json, startUpstream, text } from "../server/front.ts";
import type { Upstream } from "../server/front.ts";

const stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** Waiting takes no time; it only moves the hands on. */
class LeapingClock implements Clock {
  readonly waits: number[] = [];
  #nowMs = 1_700_000_000_000;

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    this.waits.push(delayMs);
    this.#nowMs += delayMs;
    let isCancelled = false;
    queueMicrotask(() => {
      if (!isCancelled) callback();
    });
    return () => (isCancelled = true);
  }
}

async function start(
  answers: ((response: ServerResponse) => unknown)[],
): Promise<{ own: OwnRequests; clock: LeapingClock; upstream: Upstream; log: string[] }> {
  const upstream = await startUpstream((_, response) => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    answer?.(response);
  });
  stops.push(() => upstream.stop());
  const homeserver = new Homeserver({ url: upstream.url, tls: { verify: true }, timeoutMs: 5_000 });
  stops.push(() => homeserver.close());
  const clock = new LeapingClock();
  const log: string[] = [];
  const logger = pino({ level: "trace" }, { write: (line: string) => void log.push(line) });
  // The jitter is at its highest: a wait is the whole of its range.
  return { own: new OwnRequests(homeserver, clock, logger, () => 1), clock, upstream, log };
}

const ok = (response: ServerResponse): void => json(response, 200, { a: 1 });
const limited =
  (fields: object, headers: Record<string, string> = {}) =>
  (response: ServerResponse): void => {
    response
      .writeHead(429, headers)
      .end(JSON.stringify({ errcode: "M_LIMIT_EXCEEDED", ...fields }));
  };
const failing =
  (status: number) =>
  (response: ServerResponse): void =>
    json(response, status, {});
const hangUp = (response: ServerResponse): unknown => response.socket?.destroy();

const GET = { method: "GET", path: "/x?secret=1", token: "tok" };

describe("our own requests", () => {
  it("carry the token, and a body as JSON or as the text it is", async () => {
    const bodies: string[] = [];
    const upstream = await startUpstream((incoming, response) => {
      void text(incoming).then((body) => {
        bodies.push(body);
        ok(response);
      });
    });
    stops.push(() => upstream.stop());
    const homeserver = new Homeserver({
      url: upstream.url,
      tls: { verify: true },
      timeoutMs: 5_000,
    });
    stops.push(() => homeserver.close());
    const own = new OwnRequests(homeserver, new LeapingClock(), pino({ level: "silent" }));
    expect(await own.json(GET)).toEqual({ statusCode: 200, text: '{"a":1}' });
    await own.json({ ...GET, method: "PUT", body: { b: 2 } });
    await own.json({ ...GET, method: "PUT", body: '{ "c": 3 }' });
    expect(bodies).toEqual(["", '{"b":2}', '{ "c": 3 }']);
    const headers = upstream.requests.map((request) => request.headers);
    expect(headers).toMatchObject([{}, { "content-type": "application/json" }, {}]);
    expect(headers.every(({ authorization }) => authorization === "Bearer tok")).toBe(true);
    expect(headers[0]).not.toHaveProperty("content-type");
  });

  it("wait as long as a rate limit says, and then go on", async () => {
    const { own, clock, upstream } = await start([
      limited({ retry_after_ms: 1234 }),
      limited({}, { "retry-after": "3" }),
      ok,
    ]);
    expect(await own.json(GET)).toMatchObject({ statusCode: 200 });
    expect(clock.waits).toEqual([1234, 3000]);
    expect(upstream.requests).toHaveLength(3);
  });

  it("back off from failures and hang-ups, longer each time", async () => {
    const { own, clock } = await start([
      failing(500),
      failing(502),
      hangUp,
      failing(503),
      limited({}),
      ok,
    ]);
    expect(await own.json(GET)).toMatchObject({ statusCode: 200 });
    expect(clock.waits).toEqual([200, 400, 800, 1600, 3200]);
  });

  it.each([400, 401, 403, 404, 413])("take a %s for an answer", async (status) => {
    const { own, clock } = await start([failing(status)]);
    expect(await own.json(GET)).toEqual({ statusCode: status, text: "{}" });
    expect(clock.waits).toEqual([]);
  });

  it("return the last answer when the deadline would pass", async () => {
    const { own, clock } = await start([limited({ retry_after_ms: 600 })]);
    expect(await own.json({ ...GET, deadlineMs: 1000 })).toMatchObject({ statusCode: 429 });
    expect(clock.waits).toEqual([600]);
  });

  it("throw what the last try met when the deadline would pass", async () => {
    const { own, clock } = await start([failing(500), hangUp]);
    await expect(own.json({ ...GET, deadlineMs: 500 })).rejects.toMatchObject({
      name: "HomeserverUnreachable",
    });
    expect(clock.waits).toEqual([200]);
  });

  it("give a try no longer than what is left of the deadline", async () => {
    const { own } = await start([() => undefined]);
    await expect(own.json({ ...GET, deadlineMs: 40 })).rejects.toMatchObject({
      name: "HomeserverTimeout",
      message: "the homeserver did not answer within 40 ms",
    });
  });

  it("end at an abort, while waiting too", async () => {
    const abort = new AbortController();
    const waiting = deferred<undefined>();
    const { upstream } = await start([failing(500)]);
    const homeserver = new Homeserver({
      url: upstream.url,
      tls: { verify: true },
      timeoutMs: 5_000,
    });
    stops.push(() => homeserver.close());
    const stopped: Clock = {
      now: () => 0,
      after: () => {
        waiting.resolve(undefined);
        return () => undefined;
      },
    };
    const own = new OwnRequests(homeserver, stopped, pino({ level: "silent" }));
    const request = own.json({ ...GET, signal: abort.signal });
    await waiting.promise;
    abort.abort(new Error("stopping"));
    await expect(request).rejects.toThrow("stopping");
    expect(upstream.requests).toHaveLength(1);
  });

  it("log neither token nor query", async () => {
    const { own, log } = await start([failing(500), ok]);
    await own.json(GET);
    expect(log).toHaveLength(1);
    expect(log.join("")).not.toMatch(/tok"|secret/);
  });
});

describe("the wait that an answer asks for", () => {
  const at = Date.parse("2030-01-01T00:00:00Z");
  it.each([
    [429, '{"retry_after_ms":5}', { "retry-after": "9" }, 5],
    [429, '{"retry_after_ms":-5}', { "retry-after": "9" }, 9000],
    [429, '{"retry_after_ms":"5"}', {}, null],
    [429, "no json", { "retry-after": "Tue, 01 Jan 2030 00:00:10 GMT" }, 10_000],
    [503, '{"retry_after_ms":5}', { "retry-after": "Tue, 01 Jan 2019 00:00:10 GMT" }, 0],
    [503, "", { "retry-after": "soon" }, null],
    [500, "", {}, null],
  ])("%s %s %j: %s", (statusCode, body, headers, expected) => {
    expect(retryAfterMs({ statusCode, headers, body: Buffer.from(body) }, at)).toBe(expected);
  });
});
