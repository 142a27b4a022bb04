import { afterEach, describe, expect, it } from "vitest";
import { ask } from "../server/front.ts";
import { startSection } from "./section.ts";
import type { Canned, Section } from "./section.ts";

const WELL_KNOWN = "/.well-known/matrix/client";
const VERSIONS = "/_matrix/client/versions";

let section: Section | undefined;

afterEach(async () => {
  await section?.stop();
  section = undefined;
});

async function get(
  path: string,
  answer: Canned | undefined,
  publicUrl: URL | null = null,
): ReturnType<typeof ask> {
  section = await startSection(answer === undefined ? {} : { [`GET ${path}`]: answer }, publicUrl);
  return ask(section.front.port, path, { headers: { host: "localhost:99" } });
}

describe("GET /.well-known/matrix/client", () => {
  it("is the homeserver's, with the proxy for a homeserver and without a sliding sync proxy", async () => {
    const answer = await get(WELL_KNOWN, [
      200,
      {
        "m.homeserver": { base_url: "https://matrix.example.org" },
        "org.matrix.msc3575.proxy": { url: "https://sliding.example.org" },
        "m.identity_server": { base_url: "https://id.example.org" },
      },
      { "access-control-allow-origin": "*" },
    ]);
    expect(answer.headers["access-control-allow-origin"]).toBe("*");
    expect(JSON.parse(answer.body)).toEqual({
      "m.homeserver": { base_url: "http://localhost:99" },
      "m.identity_server": { base_url: "https://id.example.org" },
    });
  });

  it.each<[string, Canned | undefined]>([
    ["has none", undefined],
    ["sends elsewhere", [302, "", { location: "https://example.org/" }]],
    ["answers no JSON", [200, "<html>"]],
  ])("is the proxy's own where the homeserver %s", async (_, canned) => {
    const answer = await get(WELL_KNOWN, canned, new URL("https://proxy.example/"));
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toEqual({
      "m.homeserver": { base_url: "https://proxy.example" },
    });
  });

  it("passes the homeserver's failure", async () => {
    expect((await get(WELL_KNOWN, [503, "{}"])).status).toBe(503);
  });
});

describe("GET /versions", () => {
  it("hides what the proxy refuses, and nothing else", async () => {
    const answer = await get(VERSIONS, [
      200,
      {
        versions: ["v1.1"],
        unstable_features: {
          "org.matrix.simplified_msc3575": true,
          "org.matrix.msc3814.v1": true,
          "org.matrix.msc4140": true,
        },
        extra: 1,
      },
    ]);
    expect(JSON.parse(answer.body)).toEqual({
      versions: ["v1.1"],
      unstable_features: { "org.matrix.msc4140": true },
      extra: 1,
    });
  });

  it.each([
    '{ "versions": [], "unstable_features": { "org.matrix.msc4140": true } }',
    "{}",
    "no json",
  ])("passes byte for byte where there is nothing to hide: %s", async (body) => {
    expect((await get(VERSIONS, [200, body])).body).toBe(body);
  });
});
