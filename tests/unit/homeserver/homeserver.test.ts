import { once } from "node:events";
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { Homeserver } from "../../../proxy/homeserver/homeserver.ts";
import type { HomeserverOptions } from "../../../proxy/homeserver/homeserver.ts";
import { HomeserverTimeout, HomeserverUnreachable } from "../../../proxy/matrix/errors.ts";
import { deferred, json, startUpstream, text } from "../server/front.ts";
import type { Upstream } from "../server/front.ts";
import { selfSigned } from "./self-signed.ts";

const stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function upstreamOf(listener: Parameters<typeof startUpstream>[0]): Promise<Upstream> {
  const upstream = await startUpstream(listener);
  stops.push(() => upstream.stop());
  return upstream;
}

function homeserverAt(url: URL, options: Partial<HomeserverOptions> = {}): Homeserver {
  const homeserver = new Homeserver({ url, tls: { verify: true }, timeoutMs: 10_000, ...options });
  stops.push(() => homeserver.close());
  return homeserver;
}

describe("a request", () => {
  it("sends method, target, headers and body as they are", async () => {
    const upstream = await upstreamOf((incoming, response) => {
      void text(incoming).then((body) => json(response, 201, { body }));
    });
    const answer = await homeserverAt(upstream.url).request({
      method: "PUT",
      path: "/a%2F..//b?c=%20",
      headers: { authorization: "Bearer t" },
      body: '{"x":1}',
    });
    expect(answer).toMatchObject({
      statusCode: 201,
      headers: { "content-type": "application/json" },
    });
    expect(answer.body.toString()).toBe('{"body":"{\\"x\\":1}"}');
    expect(upstream.requests[0]).toMatchObject({
      method: "PUT",
      url: "/a%2F..//b?c=%20",
      headers: { authorization: "Bearer t", "content-length": "7", host: upstream.url.host },
    });
  });

  it("puts the base URL's path before its own", async () => {
    const upstream = await upstreamOf((_, response) => json(response, 200, {}));
    await homeserverAt(new URL("/matrix/", upstream.url)).request({ method: "GET", path: "/x" });
    expect(upstream.requests[0]?.url).toBe("/matrix/x");
  });

  it.each(["http://127.0.0.1:1/x", "x", "*", "", "\\\\example.org"])(
    "refuses the target %j, which is not in origin-form",
    async (path) => {
      const upstream = await upstreamOf((_, response) => json(response, 200, {}));
      await expect(
        homeserverAt(upstream.url).request({ method: "GET", path }),
      ).rejects.toMatchObject({
        statusCode: 400,
        errcode: "M_UNRECOGNIZED",
      });
      expect(upstream.requests).toHaveLength(0);
    },
  );

  it("stays with its homeserver for a target that looks like another host", async () => {
    const upstream = await upstreamOf((_, response) => json(response, 200, {}));
    await homeserverAt(upstream.url).request({ method: "GET", path: "//example.org/x" });
    expect(upstream.requests[0]?.url).toBe("//example.org/x");
  });

  it("follows no redirect", async () => {
    const upstream = await upstreamOf((_, response) => {
      response.writeHead(302, { location: "/other" }).end();
    });
    const answer = await homeserverAt(upstream.url).request({ method: "GET", path: "/x" });
    expect(answer).toMatchObject({ statusCode: 302, headers: { location: "/other" } });
    expect(upstream.requests).toHaveLength(1);
  });
});

describe("an answer", () => {
  const packed = { gzip: gzipSync("hello"), br: brotliCompressSync("hello") };

  it.each(["gzip", "br"] as const)(
    "in %s is decompressed, and no header says otherwise",
    async (name) => {
      const upstream = await upstreamOf((_, response) => {
        response.writeHead(200, { "content-encoding": name, etag: '"x"' }).end(packed[name]);
      });
      const answer = await homeserverAt(upstream.url).request({ method: "GET", path: "/x" });
      expect(answer.body.toString()).toBe("hello");
      expect(Object.keys(answer.headers)).not.toContain("content-encoding");
      expect(Object.keys(answer.headers)).not.toContain("content-length");
      expect(answer.headers["etag"]).toBe('"x"');
    },
  );

  it("in an encoding that was not asked for is refused", async () => {
    const upstream = await upstreamOf((_, response) => {
      response.writeHead(200, { "content-encoding": "zstd" }).end("x");
    });
    const request = homeserverAt(upstream.url).request({ method: "GET", path: "/x" });
    await expect(request).rejects.toMatchObject({ statusCode: 502 });
  });

  it("that is a decompression bomb is refused, and its connection closed", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    const closed = deferred<undefined>();
    const upstream = await upstreamOf((_, response) => {
      response.on("close", () => closed.resolve(undefined));
      response.writeHead(200, { "content-encoding": "gzip" });
      // Left open: only the reader can end it.
      response.write(bomb);
    });
    const request = homeserverAt(upstream.url).request({
      method: "GET",
      path: "/x",
      maxBytes: 1_000_000,
    });
    await expect(request).rejects.toMatchObject({
      statusCode: 502,
      errcode: "M_TOO_LARGE",
      message: "the homeserver's answer is larger than 1000000 bytes",
    });
    await closed.promise;
  });

  it("that is larger than allowed is refused", async () => {
    const upstream = await upstreamOf((_, response) => response.end("x".repeat(101)));
    const homeserver = homeserverAt(upstream.url);
    const request = homeserver.request({ method: "GET", path: "/x", maxBytes: 100 });
    await expect(request).rejects.toMatchObject({ errcode: "M_TOO_LARGE" });
    const fits = await homeserver.request({ method: "GET", path: "/x", maxBytes: 101 });
    expect(fits.body).toHaveLength(101);
  });

  it.each([
    ["its compression", { "content-encoding": "gzip" }, gzipSync("hello").subarray(0, 10)],
    ["its length", { "content-length": "100" }, Buffer.from("part")],
  ])("that breaks off within %s is an error, never a part", async (_, headers, part) => {
    const upstream = await upstreamOf((incoming, response) => {
      response.writeHead(200, headers);
      response.write(part, () => incoming.socket.end());
    });
    const request = homeserverAt(upstream.url).request({ method: "GET", path: "/x" });
    await expect(request).rejects.toBeInstanceOf(HomeserverUnreachable);
  });
});

describe("failures", () => {
  it("nothing listens: unreachable", async () => {
    const upstream = await startUpstream(() => undefined);
    await upstream.stop();
    const request = homeserverAt(upstream.url).request({ method: "GET", path: "/x" });
    await expect(request).rejects.toMatchObject({
      name: "HomeserverUnreachable",
      statusCode: 502,
      message: "the homeserver cannot be reached",
    });
  });

  it("the name does not exist: unreachable", async () => {
    const request = homeserverAt(new URL("http://homeserver.invalid")).request({
      method: "GET",
      path: "/x",
    });
    await expect(request).rejects.toBeInstanceOf(HomeserverUnreachable);
  });

  it.each([
    ["no headers", () => undefined],
    ["no end of the body", (response: ServerResponse) => response.writeHead(200).write("part")],
  ])("%s in time: timeout", async (_, answer) => {
    const upstream = await upstreamOf((__, response) => void answer(response));
    const request = homeserverAt(upstream.url).request({
      method: "GET",
      path: "/x",
      timeoutMs: 30,
    });
    await expect(request).rejects.toBeInstanceOf(HomeserverTimeout);
    await expect(request).rejects.toMatchObject({
      statusCode: 504,
      message: "the homeserver did not answer within 30 ms",
    });
  });

  it("an abort rejects with its reason and ends the request", async () => {
    const held = deferred<ServerResponse>();
    const upstream = await upstreamOf((_, response) => held.resolve(response));
    const abort = new AbortController();
    const request = homeserverAt(upstream.url).request({
      method: "GET",
      path: "/x",
      signal: abort.signal,
    });
    const response = await held.promise;
    const closed = once(response, "close");
    const reason = new Error("gone");
    abort.abort(reason);
    await expect(request).rejects.toBe(reason);
    await closed;
  });

  it("an abort before the start sends nothing", async () => {
    const upstream = await upstreamOf((_, response) => json(response, 200, {}));
    const reason = new Error("gone");
    const signal = AbortSignal.abort(reason);
    await expect(
      homeserverAt(upstream.url).request({ method: "GET", path: "/x", signal }),
    ).rejects.toBe(reason);
    expect(upstream.requests).toHaveLength(0);
  });
});

describe("the connection", () => {
  async function tlsServer(): Promise<URL> {
    const server = createTlsServer(selfSigned, (_, response) => json(response, 200, {}));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    stops.push(async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    });
    return new URL(`https://localhost:${(server.address() as AddressInfo).port}`);
  }

  it("is refused where the certificate is not trusted", async () => {
    const request = homeserverAt(await tlsServer()).request({ method: "GET", path: "/x" });
    await expect(request).rejects.toMatchObject({
      name: "HomeserverUnreachable",
      cause: { code: "DEPTH_ZERO_SELF_SIGNED_CERT" },
    });
  });

  it("is taken where the operator has switched verification off", async () => {
    const homeserver = homeserverAt(await tlsServer(), { tls: { verify: false } });
    expect((await homeserver.request({ method: "GET", path: "/x" })).statusCode).toBe(200);
  });

  it("goes through a tunnel of the HTTP proxy, and verifies there as well", async () => {
    const targets: string[] = [];
    const tunnel = createServer();
    tunnel.on("connect", (incoming, socket: Duplex) => {
      targets.push(incoming.url ?? "");
      const [host, port] = (incoming.url ?? "").split(":");
      const through = connect(Number(port), host === "localhost" ? "127.0.0.1" : host, () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        through.pipe(socket).pipe(through);
      });
      through.on("error", () => socket.destroy());
      socket.on("error", () => through.destroy());
    });
    tunnel.listen(0, "127.0.0.1");
    await once(tunnel, "listening");
    stops.push(async () => {
      tunnel.close();
      tunnel.closeAllConnections();
      await once(tunnel, "close");
    });
    const upstreamProxy = new URL(`http://127.0.0.1:${(tunnel.address() as AddressInfo).port}`);

    const plain = await upstreamOf((_, response) => json(response, 200, {}));
    const answer = await homeserverAt(plain.url, { upstreamProxy }).request({
      method: "GET",
      path: "/x",
    });
    expect(answer.statusCode).toBe(200);

    const secure = await tlsServer();
    const untrusted = homeserverAt(secure, { upstreamProxy }).request({
      method: "GET",
      path: "/x",
    });
    await expect(untrusted).rejects.toMatchObject({
      cause: { code: "DEPTH_ZERO_SELF_SIGNED_CERT" },
    });
    const trusting = homeserverAt(secure, { upstreamProxy, tls: { verify: false } });
    expect((await trusting.request({ method: "GET", path: "/x" })).statusCode).toBe(200);
    expect(targets).toEqual([plain.url.host, secure.host, secure.host]);
  });

  it("is not limited in number", async () => {
    const waiting: ServerResponse[] = [];
    const all = deferred<undefined>();
    const upstream = await upstreamOf((_, response) => {
      if (waiting.push(response) === 200) all.resolve(undefined);
    });
    const homeserver = homeserverAt(upstream.url);
    const requests = Array.from({ length: 200 }, () =>
      homeserver.request({ method: "GET", path: "/x" }),
    );
    await all.promise;
    for (const response of waiting) json(response, 200, {});
    expect(await Promise.all(requests)).toHaveLength(200);
  });
});
