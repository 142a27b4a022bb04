import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Handlers } from "../../../proxy/routes/call.ts";
import { ClientFilters } from "../../../proxy/routes/client-filters.ts";
import {
  ask,
  type Front,
  json,
  startFront,
  startUpstream,
  text,
  type Upstream,
} from "../server/front.ts";

const userId = "@a/b:example.org";
const base = "/_matrix/client/v3";

let upstream: Upstream;
let front: Front;
let answer: (request: IncomingMessage, response: ServerResponse, body: string) => void;
const bodies: string[] = [];

beforeEach(async () => {
  bodies.length = 0;
  upstream = await startUpstream((request, response) => {
    void text(request).then((body) => {
      bodies.push(body);
      answer(request, response, body);
    });
  });
  const filters = new ClientFilters();
  // Answers what a sync would be asked with.
  const routes: Handlers = {
    sync: async (call) => {
      const resolved = await filters.resolve(call, userId);
      return { statusCode: 200, headers: {}, body: JSON.stringify(resolved) };
    },
  };
  front = await startFront(upstream.url, routes);
});
afterEach(async () => {
  await front.close();
  await upstream.stop();
});

/** What a filter parameter is resolved to. */
async function resolve(filter: string | null, query = "access_token=t&user_id=u") {
  const value = filter === null ? "" : `&filter=${encodeURIComponent(filter)}`;
  const { status, body } = await ask(front.port, `${base}/sync?${query}${value}`);
  const parsed = JSON.parse(body) as { own: unknown; upstream: string | null; errcode?: string };
  return { status, ...parsed };
}

const own = { room: { timeline: { types: ["m.room.message"] } } };
const widened = {
  room: {
    timeline: {
      types: [
        "m.room.message",
        "m.room.encrypted",
        "m.room.encryption",
        "m.room.member",
        "m.room.history_visibility",
      ],
    },
  },
};

describe("ClientFilters", () => {
  it.each([null, ""])("asks for no filter where the client gave %j", async (filter) => {
    expect(await resolve(filter)).toEqual({ status: 200, own: null, upstream: null });
  });

  it("widens an inline filter, without a request of its own", async () => {
    const resolved = await resolve(JSON.stringify(own));
    expect(resolved.own).toEqual(own);
    expect(JSON.parse(resolved.upstream ?? "")).toEqual(widened);
    expect(upstream.requests).toEqual([]);
  });

  it.each(["{", '{"a":1}x'])("refuses the inline filter %j", async (filter) => {
    expect(await resolve(filter)).toMatchObject({ status: 400, errcode: "M_NOT_JSON" });
  });

  it("fetches a stored filter in the client's name, once", async () => {
    answer = (_, response) => json(response, 200, own);
    const resolved = await resolve("5/../6");
    expect(resolved.own).toEqual(own);
    expect(JSON.parse(resolved.upstream ?? "")).toEqual(widened);
    expect(await resolve("5/../6")).toEqual(resolved);
    expect(upstream.requests.map(({ method, url }) => `${method ?? ""} ${url ?? ""}`)).toEqual([
      `GET ${base}/user/%40a%2Fb%3Aexample.org/filter/5%2F..%2F6?access_token=t&user_id=u`,
    ]);
  });

  it.each<[number, unknown, number, string]>([
    [404, { errcode: "M_NOT_FOUND" }, 400, "M_INVALID_PARAM"],
    [401, { errcode: "M_UNKNOWN_TOKEN" }, 401, "M_UNKNOWN_TOKEN"],
    [500, "oops", 500, "M_UNKNOWN"],
    [200, "oops", 502, "M_UNKNOWN"],
    [200, [], 502, "M_UNKNOWN"],
  ])(
    "answers for a stored filter that is %d %j upstream, and asks again",
    async (status, body, own_, errcode) => {
      answer = (_, response) => json(response, status, body);
      expect(await resolve("5")).toMatchObject({ status: own_, errcode });
      await resolve("5");
      expect(upstream.requests).toHaveLength(2);
    },
  );

  it("stores a filter that is too long for a request line, once", async () => {
    const long = {
      room: { timeline: { types: Array.from({ length: 500 }, (_, n) => `org.t${n}`) } },
    };
    answer = (_, response) => json(response, 200, { filter_id: "77" });
    expect(await resolve(JSON.stringify(long))).toEqual({ status: 200, own: long, upstream: "77" });
    expect(await resolve(JSON.stringify(long))).toMatchObject({ upstream: "77" });
    expect(upstream.requests.map(({ method, url }) => `${method ?? ""} ${url ?? ""}`)).toEqual([
      `POST ${base}/user/%40a%2Fb%3Aexample.org/filter?access_token=t&user_id=u`,
    ]);
    const stored = JSON.parse(bodies[0] ?? "") as typeof long;
    expect(stored.room.timeline.types.slice(-1)).toEqual(["m.room.history_visibility"]);
  });

  it("tells the client where the homeserver does not store it", async () => {
    const long = { room: { rooms: ["!".repeat(5_000)] } };
    answer = (_, response) => json(response, 200, {});
    expect(await resolve(JSON.stringify(long))).toMatchObject({ status: 502 });
  });
});
