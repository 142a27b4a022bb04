import { createHash, randomBytes } from "node:crypto";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { type InterceptedAnswer, Interceptor, jsonAnswer } from "../support/interceptor.ts";
import { asRecord } from "../support/json.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";
import { rest } from "../support/rest.ts";

let homeserver: TestHomeserver;
let wire: Interceptor;
let daemon: Daemon;
let alice: PlainRest;
let direct: PlainRest;
const rules: (() => void)[] = [];

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  wire = await Interceptor.start(homeserver.url);
  daemon = await Daemon.start({ homeserver: wire.url });
  alice = new PlainRest(daemon.url, await homeserver.registerUser("alice"));
  direct = new PlainRest(homeserver.url, alice.account);
});

afterEach(() => {
  for (const remove of rules.splice(0)) remove();
});

afterAll(async () => {
  await daemon.dispose();
  await wire.stop();
  await homeserver.stop();
});

/** Answers in the homeserver's place until the test is over. */
function answer(method: string, path: RegExp, given: InterceptedAnswer): void {
  rules.push(wire.on(method, path, () => Promise.resolve(given)));
}

describe("what the homeserver says of itself and of accounts", () => {
  it.each([
    "/capabilities",
    "/account/whoami",
    "/devices",
    "/joined_rooms",
    "/pushrules/",
    "/login",
    "/profile/%40nobody%3Aexample.org/displayname?no_such=parameter",
  ])("passes GET %s as it is", async (path) => {
    const [through, straight] = [
      await alice.request("GET", path),
      await direct.request("GET", path),
    ];
    expect(through.status).toBe(straight.status);
    expect(through.json).toMatchObject(
      path === "/devices" ? { devices: [{ device_id: alice.account.deviceId }] } : straight.json,
    );
  });

  it("hides of /versions only what it cannot handle", async () => {
    const path = "/_matrix/client/versions";
    const through = (await rest(daemon.url + path)).json;
    const straight = (await rest(homeserver.url + path)).json;
    expect(through["versions"]).toEqual(straight["versions"]);
    const offered = asRecord(straight["unstable_features"] ?? {});
    const shown = asRecord(through["unstable_features"] ?? {});
    expect(offered).toMatchObject(shown);
    expect(Object.keys(shown)).not.toContain("org.matrix.simplified_msc3575");
  });

  it("points well-known to itself", async () => {
    const found = await rest(`${daemon.url}/.well-known/matrix/client`);
    expect(found.status).toBe(200);
    expect(asRecord(found.json["m.homeserver"])["base_url"]).toBe(daemon.url);
  });

  it("sets and gets a profile", async () => {
    const path = `/profile/${encodeURIComponent(alice.userId)}/displayname`;
    await alice.ok("PUT", path, { displayname: "Älice 🐈" });
    expect((await direct.ok("GET", path))["displayname"]).toBe("Älice 🐈");
    expect((await alice.ok("GET", path))["displayname"]).toBe("Älice 🐈");
  });

  it("takes the token from the query as from the header", async () => {
    const url = `${daemon.url}/_matrix/client/v3/account/whoami`;
    const byQuery = await rest(`${url}?access_token=${alice.account.accessToken}`);
    expect(byQuery.json).toMatchObject({ user_id: alice.userId });
    const none = await rest(url);
    expect([none.status, none.json["errcode"]]).toEqual([401, "M_MISSING_TOKEN"]);
  });

  it("answers HEAD without a body and without using anything up", async () => {
    const token = alice.account.accessToken;
    for (const path of ["/_matrix/client/versions", "/_matrix/client/v3/account/whoami"]) {
      const head = await rest(daemon.url + path, { method: "HEAD", token });
      expect([head.status, head.text]).toEqual([200, ""]);
    }
    const sync = await rest(`${daemon.url}/_matrix/client/v3/sync?timeout=0`, {
      method: "HEAD",
      token,
    });
    expect(sync.text).toBe("");
    expect(sync.status).toBeLessThan(500);
  });
});

describe("errors of the homeserver", () => {
  const limited = {
    errcode: "M_LIMIT_EXCEEDED",
    error: "Too many requests",
    retry_after_ms: 4321,
    "org.example.more": { kept: [true] },
  };

  it.each([
    ["GET", "/rooms/%21unknown%3Aexample.org/messages?dir=b"],
    ["GET", "/rooms/%21unknown%3Aexample.org/state"],
    ["GET", "/rooms/%21unknown%3Aexample.org/context/%24unknown"],
    ["GET", "/no/such/endpoint"],
    ["POST", "/rooms/%21unknown%3Aexample.org/leave"],
  ])("pass with status and fields: %s %s", async (method, path) => {
    const body = method === "POST" ? {} : undefined;
    const through = await alice.request(method, path, body);
    const straight = await direct.request(method, path, body);
    expect(straight.status).toBeGreaterThanOrEqual(400);
    expect([through.status, through.json]).toEqual([straight.status, straight.json]);
  });

  it.each([
    ["GET", "/sync?timeout=0", /\/sync/],
    ["GET", "/rooms/%21a%3Ab/messages?dir=b", /\/messages/],
    ["POST", "/createRoom", /\/createRoom/],
    ["GET", "/profile/%40a%3Ab", /\/profile/],
    ["PUT", "/rooms/%21a%3Ab/send/m.room.message/1", /\/state\/m\.room\.encryption/],
  ])("pass a rate limit with all its fields: %s %s", async (method, path, matching) => {
    const given = jsonAnswer(429, limited);
    for (const upstream of ["GET", "POST"]) {
      answer(upstream, matching, { ...given, headers: { ...given.headers, "retry-after": "5" } });
    }
    const through = await alice.request(method, path, method === "GET" ? undefined : {});
    expect(through.status).toBe(429);
    expect(through.json).toEqual(limited);
    expect(through.headers.get("retry-after")).toBe("5");
  });

  it("passes a 403 of a send in an encrypted room with its fields", async () => {
    const roomId = await alice.createEncryptedRoom();
    const refusal = { errcode: "M_FORBIDDEN", error: "muted", "org.example.why": 1 };
    answer("PUT", /\/send\/m\.room\.encrypted\//, jsonAnswer(403, refusal));
    const sent = await alice.trySend(roomId, "hello");
    expect([sent.status, sent.json]).toEqual([403, refusal]);
  });

  it("answers what is no JSON of the homeserver with a Matrix error", async () => {
    const html = {
      status: 200,
      headers: { "content-type": "text/html" },
      body: Buffer.from("<html>a captive portal</html>"),
    };
    answer("GET", /\/sync/, html);
    const sync = await alice.request("GET", "/sync?timeout=0");
    expect(sync.status).toBe(502);
    expect(sync.json["errcode"]).toBe("M_UNKNOWN");
    expect(sync.text).not.toContain("captive");
  });
});

describe("endpoints that Kirjava does not know", () => {
  it("stream both ways with status and headers untouched", async () => {
    const down = randomBytes(3_000_000);
    let up: Buffer = Buffer.alloc(0);
    rules.push(
      wire.on("PATCH", /\/_example\/thing/, (request) => {
        up = Buffer.from(request.headers["x-hash"] as string, "utf8");
        return Promise.resolve({
          status: 207,
          headers: {
            "content-type": "application/x-thing",
            "content-disposition": 'attachment; filename="ü.bin"',
            etag: '"abc"',
            "retry-after": "7",
            "set-cookie": ["a=1", "b=2"],
            location: "https://elsewhere.example.org/?a=b#c",
            "x-path": request.path,
            "x-length": String(Buffer.byteLength(request.body, "utf8")),
          },
          body: down,
        });
      }),
    );
    const sent = "ä".repeat(1_000_000);
    const response = await fetch(`${daemon.url}/_example/thing/%2F/a%20b?x=%7B&y=1;2`, {
      method: "PATCH",
      headers: { "X-Hash": "0123", Authorization: `Bearer ${alice.account.accessToken}` },
      body: sent,
      redirect: "manual",
    });
    const body = Buffer.from(await response.arrayBuffer());
    expect(response.status).toBe(207);
    expect(up.toString()).toBe("0123");
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "application/x-thing",
      etag: '"abc"',
      "retry-after": "7",
      location: "https://elsewhere.example.org/?a=b#c",
      "x-path": "/_example/thing/%2F/a%20b?x=%7B&y=1;2",
      "x-length": "2000000",
    });
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect(digest(body)).toBe(digest(down));
  });

  it.each([
    undefined,
    "text/plain",
    "application/json",
    "weird",
    "image/",
    'a/b; c="',
    "text/plain; charset=x",
  ])("take a body of any content type: %s", async (type) => {
    let received = "";
    rules.push(
      wire.on("POST", /\/_example\/typed/, (request) => {
        received = `${request.headers["content-type"] ?? "none"} ${request.body}`;
        return Promise.resolve(jsonAnswer(200, {}));
      }),
    );
    const response = await fetch(`${daemon.url}/_example/typed`, {
      method: "POST",
      body: Buffer.from("{no json"),
      headers: type === undefined ? {} : { "Content-Type": type },
    });
    expect(response.status).toBe(200);
    expect(received).toBe(`${type ?? "none"} {no json`);
  });

  it("carry media up and down byte for byte", async () => {
    const data = randomBytes(2_000_000);
    const upload = await fetch(`${daemon.url}/_matrix/media/v3/upload?filename=a.bin`, {
      method: "POST",
      headers: {
        Authorization: `Bearer ${alice.account.accessToken}`,
        "Content-Type": "application/octet-stream",
      },
      body: data,
    });
    expect(upload.status).toBe(200);
    const { content_uri: uri } = (await upload.json()) as { content_uri: string };
    const download = await fetch(
      `${daemon.url}/_matrix/client/v1/media/download/${uri.slice("mxc://".length)}`,
      { headers: { Authorization: `Bearer ${alice.account.accessToken}` } },
    );
    expect(download.status).toBe(200);
    expect(digest(Buffer.from(await download.arrayBuffer()))).toBe(digest(data));
  });
});

function digest(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}
