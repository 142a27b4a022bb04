import { once } from "node:events";
import { Agent, request } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { MatrixError } from "../../../proxy/matrix/errors.ts";
import type { Call, Handlers } from "../../../proxy/routes/call.ts";
import { ask, deferred, json, raw, startFront, startUpstream, text } from "./front.ts";
import type { Front, Upstream } from "./front.ts";

const SEND = "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1";
const MESSAGES = "/_matrix/client/v3/rooms/%21a%3Ab/messages?dir=b";
const stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function start(
  routes: Handlers,
  options: Parameters<typeof startFront>[2] = {},
  listener: (request: IncomingMessage, response: ServerResponse) => void = (incoming, response) => {
    void text(incoming).then((body) => json(response, 200, { url: incoming.url, body }));
  },
): Promise<{ upstream: Upstream; front: Front }> {
  const upstream = await startUpstream(listener);
  stops.push(() => upstream.stop());
  const front = await startFront(upstream.url, routes, options);
  stops.push(() => front.close());
  return { upstream, front };
}

function errorOf(body: string): unknown {
  return JSON.parse(body.slice(body.indexOf("{")));
}

describe("who may ask", () => {
  it.each(["localhost", "LOCALHOST:8009", "127.0.0.1:1", "[::1]:8009", "kirjava", "a.localhost"])(
    "Host: %s may",
    async (host) => {
      const { front } = await start({}, { hostNames: ["Kirjava"] });
      expect((await ask(front.port, "/x", { headers: { host } })).status).toBe(200);
    },
  );

  it.each(["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "192.0.2.1"])(
    "Host: %s may not, and nothing reaches the homeserver",
    async (host) => {
      const { front, upstream } = await start({});
      const answer = await ask(front.port, "/x", { headers: { host } });
      expect(answer.status).toBe(403);
      expect(errorOf(answer.body)).toMatchObject({ errcode: "M_FORBIDDEN" });
      expect(upstream.requests).toHaveLength(0);
    },
  );

  const HEAD = "HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
  it.each([
    ["an absolute-form target", `GET http://127.0.0.1:1/x ${HEAD}\r\n`, 400],
    ["an asterisk-form target", `OPTIONS * ${HEAD}\r\n`, 400],
    ["a websocket", `GET /x ${HEAD}upgrade: websocket\r\n\r\n`, 400],
    [
      "both lengths",
      `POST /x ${HEAD}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ["two lengths", `POST /x ${HEAD}content-length: 5\r\ncontent-length: 6\r\n\r\n`, 400],
    ["a bare CR in a header", `GET /x ${HEAD}x: a\rb\r\n\r\n`, 400],
    ["headers over the limit", `GET /x ${HEAD}x: ${"a".repeat(70_000)}\r\n\r\n`, 431],
    ["an unknown method", `PROPFIND /x ${HEAD}\r\n`, 404],
  ])("%s is refused with a Matrix error", async (_, bytes, status) => {
    const { front, upstream } = await start({});
    const answer = await raw(front.port, bytes);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(errorOf(answer)).toMatchObject({ errcode: expect.stringMatching(/^M_/) as string });
    expect(upstream.requests).toHaveLength(0);
  });

  it("a request without Host is refused", async () => {
    const { front, upstream } = await start({});
    expect(await raw(front.port, "GET /x HTTP/1.1\r\n\r\n")).toMatch(/^HTTP\/1.1 400 /);
    expect(await raw(front.port, "GET /x HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1.1 403 /);
    expect(upstream.requests).toHaveLength(0);
  });

  it("an upgrade to h2c is ignored", async () => {
    const { front, upstream } = await start({});
    const headers = {
      connection: "Upgrade, HTTP2-Settings",
      upgrade: "h2c",
      "http2-settings": "x",
    };
    expect((await ask(front.port, "/x", { headers })).status).toBe(200);
    expect(upstream.requests[0]?.headers).not.toHaveProperty("upgrade");
  });

  it("a second request hidden in a body is a body", async () => {
    const { front, upstream } = await start({});
    const hidden = "GET /hidden HTTP/1.1\r\nhost: localhost\r\n\r\n";
    await raw(
      front.port,
      `POST /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: ${hidden.length}\r\n\r\n${hidden}`,
    );
    expect(upstream.requests.map(({ url }) => url)).toEqual(["/x"]);
  });
});

describe("what reaches the homeserver", () => {
  it.each([
    ["PUT", SEND],
    ["PUT", SEND.replace("send", "%73end")],
    ["POST", SEND.replace("/v3/", "/v3//")],
    ["GET", "/_matrix/client/v3/sync"],
    ["HEAD", "/_matrix/client/v3/sync"],
    ["POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"],
    ["POST", "/_matrix/client/v3/keys/upload"],
    ["PUT", "/_matrix/client/v3/sendToDevice/m.room_key/1"],
  ])("not %s %s without a handler", async (method, path) => {
    const { front, upstream } = await start({});
    const answer = await ask(front.port, path, { method, headers: { "content-length": 0 } });
    expect(answer.status).toBe(404);
    if (method !== "HEAD")
      expect(errorOf(answer.body)).toMatchObject({ errcode: "M_UNRECOGNIZED" });
    expect(upstream.requests).toHaveLength(0);
  });

  it.each([
    ["GET", "/_matrix/client/v3/events"],
    ["POST", "/_matrix/media/v3/upload"],
    ["OPTIONS", SEND],
    ["GET", MESSAGES],
  ])("%s %s, without a handler", async (method, path) => {
    const { front, upstream } = await start({});
    expect((await ask(front.port, path, { method })).status).toBe(200);
    expect(upstream.requests[0]?.url).toBe(path);
  });
});

describe("a handler", () => {
  it("sees the call and answers it", async () => {
    let seen: Call | undefined;
    const { front } = await start({
      send: async (call) => {
        seen = call;
        return { statusCode: 201, headers: { "x-a": "b" }, body: await call.body() };
      },
    });
    const path = `${SEND.replace("!a:b", "%21a%3Ab")}?ts=1&user_id=%40u%3Ab`;
    const headers = { authorization: "bearer secret", "content-length": 2 };
    const answer = await ask(front.port, path, { method: "PUT", body: "{}", headers });
    expect(answer).toMatchObject({
      status: 201,
      headers: { "x-a": "b", "content-length": "2" },
      body: "{}",
    });
    expect(answer.headers["content-type"]).toBe("application/json");
    expect(seen).toMatchObject({
      endpoint: "send",
      params: { roomId: "!a:b", eventType: "m.room.message", txnId: "1" },
      method: "PUT",
      rawPath: path,
      token: "secret",
      masquerade: { userId: "@u:b" },
    });
    expect(seen?.query.get("ts")).toBe("1");
  });

  it("takes the token of the query where there is no header", async () => {
    const tokens: (string | null)[] = [];
    const { front } = await start({
      messages: (call) => {
        tokens.push(call.token);
        return Promise.resolve("pass");
      },
    });
    await ask(front.port, `${MESSAGES}&access_token=a%2Bb`);
    await ask(front.port, MESSAGES, { headers: { authorization: "Basic x" } });
    await ask(front.port, MESSAGES);
    expect(tokens).toEqual(["a+b", null, null]);
  });

  it("forwards the call as it came", async () => {
    const { front, upstream } = await start({ send: (call) => call.forward() });
    const headers = { "content-length": 2, "accept-encoding": "zstd", "x-a": "b" };
    const answer = await ask(front.port, SEND, { method: "PUT", body: "{}", headers });
    expect(answer.body).toBe(JSON.stringify({ url: SEND, body: "{}" }));
    expect(upstream.requests[0]?.headers).toMatchObject({
      "accept-encoding": "identity",
      "x-a": "b",
    });
  });

  it("forwards the call changed", async () => {
    const { front, upstream } = await start({
      send: async (call) =>
        call.forward({
          method: "POST",
          path: "/else?a=%2F",
          body: "longer body",
          headers: { "x-a": "c" },
        }),
    });
    const answer = await ask(front.port, SEND, {
      method: "PUT",
      body: "{}",
      headers: { "x-a": "b" },
    });
    expect(answer.body).toBe(JSON.stringify({ url: "/else?a=%2F", body: "longer body" }));
    expect(upstream.requests[0]).toMatchObject({ method: "POST", headers: { "x-a": "c" } });
  });

  it("passes a call whose body it has read", async () => {
    const { front } = await start({
      send: async (call) => {
        await call.body();
        return "pass";
      },
    });
    const answer = await ask(front.port, SEND, { method: "PUT", body: '{"a":1}' });
    expect(answer.body).toBe(JSON.stringify({ url: SEND, body: '{"a":1}' }));
  });

  it("answers a HEAD as a GET without a body", async () => {
    const { front, upstream } = await start({ messages: (call) => call.forward() });
    const answer = await ask(front.port, MESSAGES, { method: "HEAD" });
    expect(answer.status).toBe(200);
    expect(answer.body).toBe("");
    expect(Number(answer.headers["content-length"])).toBeGreaterThan(0);
    expect(upstream.requests[0]?.method).toBe("GET");
  });

  it.each([
    ["announced", { "content-length": 100 }],
    ["chunked", { "transfer-encoding": "chunked" }],
  ])("refuses a body over its limit, %s", async (_, headers) => {
    const { front } = await start({
      send: async (call) => ({ statusCode: 200, headers: {}, body: await call.body(99) }),
    });
    const agent = new Agent({ keepAlive: true });
    const answer = await ask(front.port, SEND, {
      agent,
      method: "PUT",
      headers,
      body: "x".repeat(100),
    });
    expect(answer.status).toBe(413);
    expect(errorOf(answer.body)).toEqual({
      errcode: "M_TOO_LARGE",
      error: "expected a request body of at most 99 bytes",
    });
    expect(answer.headers.connection).toBe("close");
  });

  it("hears that its client has gone, and its upstream request ends", async () => {
    const gone = deferred<unknown>();
    const held = deferred<ServerResponse>();
    const { front } = await start(
      {
        send: async (call) => {
          await call.forward().catch(gone.resolve);
          return { statusCode: 200, headers: {}, body: "{}" };
        },
      },
      {},
      (_, response) => held.resolve(response),
    );
    const outgoing = request({
      host: "127.0.0.1",
      port: front.port,
      path: SEND,
      method: "PUT",
    }).end();
    outgoing.on("error", () => undefined);
    const response = await held.promise;
    const closed = once(response, "close");
    outgoing.destroy();
    expect(await gone.promise).toMatchObject({ name: "AbortError" });
    await closed;
    expect(response.writableFinished).toBe(false);
  });
});

describe("errors", () => {
  it("a Matrix error becomes its status, code and fields", async () => {
    const { front } = await start({
      send: () =>
        Promise.reject(
          new MatrixError(429, "M_LIMIT_EXCEEDED", "too many", {
            fields: { retry_after_ms: 1500 },
          }),
        ),
    });
    const answer = await ask(front.port, SEND, { method: "PUT" });
    expect(answer.status).toBe(429);
    expect(answer.headers["retry-after"]).toBe("2");
    expect(JSON.parse(answer.body)).toEqual({
      errcode: "M_LIMIT_EXCEEDED",
      error: "too many",
      retry_after_ms: 1500,
    });
  });

  it("any other becomes a 500 without internals, logged with the request's id and without its query", async () => {
    const { front } = await start({ send: () => Promise.reject(new Error("secret detail")) });
    const answer = await ask(front.port, `${SEND}?access_token=hush`, { method: "PUT" });
    expect(answer.status).toBe(500);
    expect(JSON.parse(answer.body)).toEqual({ errcode: "M_UNKNOWN", error: "internal error" });
    const lines = front.log.map((line) => JSON.parse(line) as Record<string, unknown>);
    const warnings = lines.filter(({ level }) => Number(level) >= 40);
    expect(warnings).toMatchObject([{ path: SEND, requestId: expect.any(String) as string }]);
    expect(front.log.join("")).not.toContain("hush");
  });

  it("a homeserver that is down becomes a 502 of the handler's call", async () => {
    const { front, upstream } = await start({ send: (call) => call.forward() });
    await upstream.stop();
    stops.shift();
    expect((await ask(front.port, SEND, { method: "PUT" })).status).toBe(502);
  });
});

describe("CORS", () => {
  const allowed = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, PUT",
    "access-control-allow-headers": "Authorization",
  };

  it("is nothing of ours before the homeserver has been heard", async () => {
    const { front } = await start({});
    const answer = await ask(front.port, SEND, { method: "PUT" });
    expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
  });

  it("of our own answers is what the homeserver allows everyone", async () => {
    const { front } = await start(
      { send: () => Promise.resolve({ statusCode: 200, headers: {}, body: "{}" }) },
      {},
      (_, response) => response.writeHead(200, allowed).end("{}"),
    );
    await ask(front.port, "/x", { method: "OPTIONS" });
    expect((await ask(front.port, SEND, { method: "PUT" })).headers).toMatchObject(allowed);
    expect((await ask(front.port, `${SEND}/`, { method: "PUT" })).headers).toMatchObject(allowed);
  });

  it("for one origin is not repeated to another", async () => {
    const { front } = await start({}, {}, (_, response) => {
      response
        .writeHead(200, { ...allowed, "access-control-allow-origin": "https://a.example" })
        .end("{}");
    });
    await ask(front.port, "/x");
    const answer = await ask(front.port, SEND, { method: "PUT" });
    expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
  });
});
