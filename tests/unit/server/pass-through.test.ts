import { once } from "node:events";
import { request } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { ask, deferred, json, raw, startFront, startUpstream, text } from "./front.ts";
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

describe("requests stream through untouched", () => {
  it.each(["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"])("%s", async (method) => {
    const { front, upstream } = await start((incoming, response) => {
      void text(incoming).then((body) => json(response, 200, { body }));
    });
    const body = method === "GET" ? {} : { body: '{"a": 1 }', headers: { "content-length": 9 } };
    const answer = await ask(front.port, PATH, { method, ...body });
    expect(answer.body).toBe(JSON.stringify({ body: method === "GET" ? "" : '{"a": 1 }' }));
    expect(upstream.requests[0]?.method).toBe(method);
  });

  it.each([
    "/_matrix/client/v3/rooms/!a:b/state/m.x/..%2F..",
    "/_matrix/client/v3/rooms/!a:b/state/m.x/%2F%2f",
    "/_matrix/client/v3/rooms/!a:b/state/m.x/../x",
    "//example.org/_matrix/client/versions",
    "/_matrix/client/v3/x?a=%2F&a=b&&c=%zz+%20?d=e",
    '/_matrix/client/v3/%zz/%FF/{}|^`"<>',
    `/_matrix/client/v3/x/${"long".repeat(3000)}`,
    "/?",
  ])("the request target %s, byte for byte", async (target) => {
    const { front, upstream } = await start((_, response) => json(response, 200, {}));
    await raw(front.port, `GET ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
    expect(upstream.requests[0]?.url).toBe(target);
  });

  it("a body of a GET", async () => {
    const { front } = await start((incoming, response) => {
      void text(incoming).then((body) => json(response, 200, { body }));
    });
    const answer = await ask(front.port, PATH, { body: "{}", headers: { "content-length": 2 } });
    expect(answer.body).toBe('{"body":"{}"}');
  });

  it("a chunked POST, whatever its content type", async () => {
    const { front, upstream } = await start((incoming, response) => {
      void text(incoming).then((body) => json(response, 200, { body }));
    });
    const outgoing = request({ host: "127.0.0.1", port: front.port, path: PATH, method: "POST" });
    outgoing.setHeader("content-type", "application/json; charset=x; broken");
    outgoing.write("not ");
    outgoing.write("json");
    outgoing.end();
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    expect(await text(response)).toBe('{"body":"not json"}');
    expect(upstream.requests[0]?.headers["content-type"]).toBe(
      "application/json; charset=x; broken",
    );
  });

  it("a compressed request body", async () => {
    const { front } = await start((incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () =>
        json(response, 200, { body: gunzipSync(Buffer.concat(chunks)).toString() }),
      );
    });
    const headers = { "content-encoding": "gzip" };
    const answer = await ask(front.port, PATH, {
      method: "POST",
      body: gzipSync("hello"),
      headers,
    });
    expect(answer.body).toBe('{"body":"hello"}');
  });

  it("headers: the homeserver's host, the client's authorization, nothing of the hop or of forwarding", async () => {
    const { front, upstream } = await start((_, response) => json(response, 200, {}));
    await ask(front.port, PATH, {
      headers: {
        host: "localhost",
        authorization: "Bearer abc",
        "x-custom": "kept",
        cookie: "a=b",
        connection: "close, x-hop",
        "x-hop": "1",
        te: "trailers",
        "proxy-authorization": "Basic x",
        "x-forwarded-for": "203.0.113.1",
        "x-forwarded-host": "evil.example",
        forwarded: "for=203.0.113.1",
        "x-http-method-override": "PUT",
      },
    });
    const headers = { ...upstream.requests[0]?.headers };
    expect(headers).toEqual({
      host: upstream.url.host,
      authorization: "Bearer abc",
      "x-custom": "kept",
      cookie: "a=b",
      connection: "keep-alive",
    });
  });

  it("an Expect: 100-continue", async () => {
    const { front } = await start((incoming, response) => {
      void text(incoming).then((body) => json(response, 200, { body }));
    });
    const outgoing = request({ host: "127.0.0.1", port: front.port, path: PATH, method: "POST" });
    outgoing.setHeader("expect", "100-continue");
    outgoing.flushHeaders();
    await once(outgoing, "continue");
    outgoing.end("body");
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    expect(await text(response)).toBe('{"body":"body"}');
  });
});

describe("answers stream through untouched", () => {
  it("every header, duplicates too, and none of our own", async () => {
    const { front } = await start((_, response) => {
      response.writeHead(206, [
        ["Location", "/elsewhere"],
        ["Retry-After", "7"],
        ["ETag", 'W/"x"'],
        ["Content-Disposition", "attachment; filename=x.png"],
        ["Set-Cookie", "a=1"],
        ["Set-Cookie", "b=2"],
        ["X-Twice", "1"],
        ["X-Twice", "2"],
        ["Content-Length", "2"],
        ["Date", "Tue, 01 Jan 2030 00:00:00 GMT"],
      ] as unknown as string[]);
      response.end("{}");
    });
    const { status, headers } = await ask(front.port, PATH);
    expect(status).toBe(206);
    expect(headers).toEqual({
      location: "/elsewhere",
      "retry-after": "7",
      etag: 'W/"x"',
      "content-disposition": "attachment; filename=x.png",
      "set-cookie": ["a=1", "b=2"],
      "x-twice": "1, 2",
      "content-length": "2",
      date: "Tue, 01 Jan 2030 00:00:00 GMT",
      connection: "close",
    });
  });

  it.each([301, 302, 307, 308])("a redirect %s, not followed", async (status) => {
    const { front, upstream } = await start((_, response) => {
      response.writeHead(status, { location: "http://127.0.0.1:1/x" }).end();
    });
    const answer = await ask(front.port, "/_matrix/client/v3/login/sso/redirect?redirectUrl=x");
    expect(answer).toMatchObject({ status, headers: { location: "http://127.0.0.1:1/x" } });
    expect(upstream.requests).toHaveLength(1);
  });

  it.each([204, 304])("a %s without a body", async (status) => {
    const { front } = await start((_, response) =>
      response.writeHead(status, { etag: '"x"' }).end(),
    );
    expect(await ask(front.port, PATH)).toMatchObject({
      status,
      headers: { etag: '"x"' },
      body: "",
    });
  });

  it("a 503 once, as it is", async () => {
    const { front, upstream } = await start((_, response) => {
      response.writeHead(503, { "retry-after": "0" }).end("down");
    });
    expect(await ask(front.port, PATH)).toMatchObject({ status: 503, body: "down" });
    expect(upstream.requests).toHaveLength(1);
  });

  it("the length of a HEAD, and no body", async () => {
    const { front, upstream } = await start((_, response) => {
      response.writeHead(200, { "content-length": "1234", "content-type": "image/png" }).end();
    });
    const answer = await ask(front.port, PATH, { method: "HEAD" });
    expect(answer).toMatchObject({ status: 200, headers: { "content-length": "1234" }, body: "" });
    expect(upstream.requests[0]?.method).toBe("HEAD");
  });

  it("compressed bytes, not decompressed", async () => {
    const packed = gzipSync("hello");
    const { front } = await start((_, response) => {
      response.writeHead(200, { "content-encoding": "gzip" }).end(packed);
    });
    const outgoing = request({ host: "127.0.0.1", port: front.port, path: PATH }).end();
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    expect(Buffer.concat(chunks)).toEqual(packed);
    expect(response.headers["content-encoding"]).toBe("gzip");
  });

  it("256 MiB each way without keeping them", async () => {
    const block = Buffer.alloc(1024 * 1024, "x");
    const { front } = await start((incoming, response) => incoming.pipe(response));
    const outgoing = request({ host: "127.0.0.1", port: front.port, path: PATH, method: "POST" });
    outgoing.write(block);
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    let sizeBytes = 0;
    let peakBytes = 0;
    response.on("data", (chunk: Buffer) => {
      sizeBytes += chunk.length;
      peakBytes = Math.max(peakBytes, process.memoryUsage().arrayBuffers);
    });
    const before = process.memoryUsage().arrayBuffers;
    for (let blocks = 1; blocks < 256; blocks += 1) {
      if (!outgoing.write(block)) await once(outgoing, "drain");
    }
    outgoing.end();
    await once(response, "end");
    expect(sizeBytes).toBe(256 * block.length);
    // Far above what waits for the garbage collector on a busy machine, far below what was sent.
    expect(peakBytes - before).toBeLessThan(128 * block.length);
  });

  it("holds the homeserver back while the client does not read", async () => {
    const written = { bytes: 0 };
    const stalled = deferred<undefined>();
    const { front } = await start((incoming, response) => {
      if (incoming.url === "/quick") {
        json(response, 200, {});
        return;
      }
      const block = Buffer.alloc(256 * 1024);
      // Writes until the way is full; 1 GiB would never fit any buffer on it.
      const more = (): void => {
        while (written.bytes < 2 ** 30) {
          written.bytes += block.length;
          if (response.write(block)) continue;
          response.once("drain", more);
          stalled.resolve(undefined);
          return;
        }
      };
      more();
    });
    const socket = connect(front.port, "127.0.0.1");
    stops.push(() => Promise.resolve(socket.destroy()).then(() => undefined));
    socket.pause();
    socket.write(`GET ${PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    await stalled.promise;
    // Round trips past the stall: whoever did not hold back would have gone on reading meanwhile.
    for (let trip = 0; trip < 20; trip += 1) await ask(front.port, "/quick");
    expect(written.bytes).toBeLessThan(128 * 1024 * 1024);
  });
});
