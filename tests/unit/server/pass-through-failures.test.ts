import { once } from "node:events";
import { request } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import type { Clock } from "../../../proxy/clock.ts";
import { ask, deferred, json, received, startFront, startUpstream, text } from "./front.ts";
import type { Front, Upstream } from "./front.ts";

const PATH = "/_matrix/client/v3/profile/@a:b";
const stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function start(
  listener: (request: IncomingMessage, response: ServerResponse) => void,
  options: Parameters<typeof startFront>[2] = {},
): Promise<{ upstream: Upstream; front: Front }> {
  const upstream = await startUpstream(listener);
  stops.push(() => upstream.stop());
  const front = await startFront(upstream.url, {}, options);
  stops.push(() => front.close());
  return { upstream, front };
}

/** Resolves with the first request's pair; the answer is the test's to give. */
async function startHeld(options: Parameters<typeof startFront>[2] = {}): Promise<{
  front: Front;
  held: Promise<{ request: IncomingMessage; response: ServerResponse }>;
}> {
  const held = deferred<{ request: IncomingMessage; response: ServerResponse }>();
  const { front } = await start(
    (incoming, response) => held.resolve({ request: incoming, response }),
    options,
  );
  return { front, held: held.promise };
}

describe("aborts go both ways", () => {
  it("a client that leaves before the homeserver's headers ends the upstream request", async () => {
    const { front, held } = await startHeld();
    const outgoing = request({ host: "127.0.0.1", port: front.port, path: PATH }).end();
    outgoing.on("error", () => undefined);
    const { response } = await held;
    outgoing.destroy();
    await once(response, "close");
    expect(response.writableFinished).toBe(false);
  });

  it("a client that leaves in the middle of the answer ends the upstream request", async () => {
    const { front, held } = await startHeld();
    const outgoing = request({ host: "127.0.0.1", port: front.port, path: PATH }).end();
    outgoing.on("error", () => undefined);
    const { response } = await held;
    response.write("part");
    await once(outgoing, "response");
    outgoing.destroy();
    await once(response, "close");
    expect(response.writableFinished).toBe(false);
  });

  it("a client that leaves in the middle of an upload ends the upstream request", async () => {
    const { front, held } = await startHeld();
    const outgoing = request({ host: "127.0.0.1", port: front.port, path: PATH, method: "POST" });
    outgoing.on("error", () => undefined);
    outgoing.write("part");
    const { request: incoming } = await held;
    incoming.resume();
    const broken = once(incoming, "error");
    outgoing.destroy();
    expect(await broken).toMatchObject([{ code: "ECONNRESET" }]);
    expect(incoming.complete).toBe(false);
  });

  it.each([
    ["with a length", { "content-length": "100" }],
    ["chunked", {}],
  ])("an upstream that breaks off %s is no whole answer for the client", async (_, headers) => {
    const { front, held } = await startHeld();
    const outgoing = request({ host: "127.0.0.1", port: front.port, path: PATH }).end();
    const { response } = await held;
    response.writeHead(200, headers);
    response.write("part");
    const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
    const [chunk] = (await once(answer, "data")) as [Buffer];
    expect(chunk.toString()).toBe("part");
    response.destroy();
    await once(answer, "error");
    expect(answer.complete).toBe(false);
  });
});

it("passes an answer that comes before the end of the upload, and closes the connection", async () => {
  const { front } = await start((_, response) => {
    response.writeHead(413, { connection: "close" }).end('{"errcode":"M_TOO_LARGE"}');
  });
  const outgoing = request({ host: "127.0.0.1", port: front.port, path: PATH, method: "POST" });
  outgoing.on("error", () => undefined);
  outgoing.write(Buffer.alloc(100_000));
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  expect(response).toMatchObject({ statusCode: 413, headers: { connection: "close" } });
  expect(await text(response)).toBe('{"errcode":"M_TOO_LARGE"}');
});

it("bounds the time for a request to arrive, but not for its answer", async () => {
  const { front } = await start((_, response) => json(response, 200, {}));
  const { headersTimeout, requestTimeout, timeout } = front.server;
  expect(headersTimeout).toBe(30_000);
  expect(requestTimeout).toBe(900_000);
  expect(timeout).toBe(0);
});

describe("a homeserver that does not answer", () => {
  it("is a 502 at once when nothing listens", async () => {
    const upstream = await startUpstream(() => undefined);
    await upstream.stop();
    const front = await startFront(upstream.url);
    stops.push(() => front.close());
    const answer = await ask(front.port, PATH, { method: "PUT", body: "{}" });
    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.body)).toEqual({
      errcode: "M_UNKNOWN",
      error: "the homeserver cannot be reached",
    });
  });

  it("is a 502 when it hangs up", async () => {
    const { front } = await start((incoming) => incoming.socket.destroy());
    expect((await ask(front.port, PATH)).status).toBe(502);
  });

  it("is a 504 past the timeout", async () => {
    const { front } = await start(() => undefined, { timeoutMs: 50 });
    const answer = await ask(front.port, PATH);
    expect(answer.status).toBe(504);
    expect(JSON.parse(answer.body)).toEqual({
      errcode: "M_UNKNOWN",
      error: "the homeserver did not answer within 50 ms",
    });
  });

  it("is given the time that a long poll asks for", async () => {
    const { front, held } = await startHeld({ timeoutMs: 50 });
    const [slow, quick] = [
      ask(front.port, "/_matrix/client/v3/x?timeout=60000"),
      ask(front.port, PATH),
    ];
    const { response } = await held;
    // The quick one is past its timeout: whatever timed out the long poll would have done so as well.
    expect((await quick).status).toBe(504);
    json(response, 200, { done: true });
    expect((await slow).body).toBe('{"done":true}');
  });

  it("leaves a quick request quick behind 150 long polls", async () => {
    const polls: ServerResponse[] = [];
    const all = deferred<undefined>();
    const { front } = await start((incoming, response) => {
      if (incoming.url === "/quick") json(response, 200, {});
      else if (polls.push(response) === 150) all.resolve(undefined);
    });
    const waiting = Array.from({ length: 150 }, () => ask(front.port, "/poll?timeout=30000"));
    await all.promise;
    expect((await ask(front.port, "/quick")).status).toBe(200);
    for (const response of polls) json(response, 200, {});
    expect((await Promise.all(waiting)).every(({ status }) => status === 200)).toBe(true);
  });
});

describe("what the answers say of a token", () => {
  it("a 2xx confirms it", async () => {
    const { front } = await start((_, response) => json(response, 200, {}));
    await ask(front.port, PATH, { headers: { authorization: "Bearer one" } });
    await ask(front.port, `${PATH}?access_token=two`);
    await ask(front.port, PATH);
    expect(front.tokens.confirmed).toEqual(["one", "two"]);
  });

  it.each([true, false])(
    "a 401 M_UNKNOWN_TOKEN rejects it, soft_logout: %s",
    async (softLogout) => {
      const error = { errcode: "M_UNKNOWN_TOKEN", error: "gone", soft_logout: softLogout };
      const { front } = await start((_, response) => {
        response
          .writeHead(401, { "content-encoding": "gzip" })
          .end(gzipSync(JSON.stringify(error)));
      });
      const answer = await ask(front.port, PATH, { headers: { authorization: "Bearer one" } });
      expect(answer.status).toBe(401);
      expect(front.tokens).toEqual({ confirmed: [], rejected: [{ token: "one", softLogout }] });
    },
  );

  it("another 401 says nothing, and passes byte for byte", async () => {
    const { front } = await start((_, response) => response.writeHead(401).end('{ "flows": [] }'));
    const answer = await ask(front.port, PATH, { headers: { authorization: "Bearer one" } });
    expect(answer).toMatchObject({ status: 401, body: '{ "flows": [] }' });
    expect(front.tokens).toEqual({ confirmed: [], rejected: [] });
  });
});

it("closes gracefully: what is under way finishes, idle connections are closed", async () => {
  const { front, held } = await startHeld();
  const idle = connect(front.port, "127.0.0.1");
  await once(idle, "connect");
  const idleEnd = received(idle);
  const busy = ask(front.port, PATH);
  const { response } = await held;
  stops.splice(1);
  const closed = front.close();
  await idleEnd;
  json(response, 200, { finished: true });
  expect((await busy).body).toBe('{"finished":true}');
  await closed;
});

it("cuts off at closing what does not finish in time", async () => {
  const grace = deferred<() => void>();
  const clock: Clock = {
    now: () => 0,
    after: (delayMs, callback) => {
      expect(delayMs).toBe(8_000);
      grace.resolve(callback);
      return () => undefined;
    },
  };
  const { front, held } = await startHeld({ clock });
  const outgoing = request({ host: "127.0.0.1", port: front.port, path: PATH }).end();
  const broken = once(outgoing, "error");
  await held;
  stops.splice(1);
  const closed = front.close();
  (await grace.promise)();
  expect(await broken).toMatchObject([{ code: "ECONNRESET" }]);
  await closed;
});
