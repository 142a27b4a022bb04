import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { importsOf, partOf, root, type Source, sources } from "./sources.ts";

const shipped = ["proxy", "crypto-store", "cli", "playground", "bench"];
const code = shipped.flatMap((folder) => sources(folder, ".ts"));
const imports = code.flatMap(importsOf);
const own = imports.filter(({ to }) => shipped.includes(to.split("/")[0] ?? ""));

const base = ["proxy/clock.ts", "proxy/serial.ts", "proxy/matrix"];
const upstream = [...base, "proxy/homeserver"];
const state = [...upstream, "proxy/accounts", "proxy/rooms"];

/** What each part may import; whoever adds a part adds its line. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  "crypto-store": [],
  "proxy/clock.ts": [],
  "proxy/serial.ts": [],
  "proxy/connections.ts": [],
  "proxy/matrix": [],
  "proxy/config": [],
  "proxy/homeserver": base,
  "proxy/host-check.ts": upstream,
  "proxy/observe": ["crypto-store", "proxy/accounts", "proxy/config", ...upstream],
  "proxy/accounts": ["crypto-store", "proxy/config", ...upstream],
  "proxy/media": ["proxy/accounts", ...upstream],
  "proxy/rooms": ["proxy/accounts", ...upstream],
  "proxy/crypto": ["crypto-store", "proxy/observe", ...upstream],
  "proxy/sync": ["proxy/crypto", "proxy/media", "proxy/observe", ...state],
  "proxy/routes": [
    "proxy/config",
    "proxy/crypto",
    "proxy/media",
    "proxy/observe",
    "proxy/sync",
    ...state,
  ],
  "proxy/server.ts": ["proxy/connections.ts", "proxy/host-check.ts", "proxy/routes", ...upstream],
  "proxy/section.ts": [
    "proxy/config",
    "proxy/crypto",
    "proxy/media",
    "proxy/observe",
    "proxy/routes",
    "proxy/server.ts",
    "proxy/sync",
    ...state,
  ],
  "proxy/main.ts": [
    "proxy/clock.ts",
    "proxy/config",
    "proxy/crypto",
    "proxy/observe",
    "proxy/section.ts",
  ],
  cli: ["proxy/config", "proxy/observe", "proxy/main.ts"],
  playground: [],
  bench: ["crypto-store"],
};

/** Imports as lines, for a readable failure. */
const lines = (found: readonly { from: string; to: string }[]) =>
  found.map(({ from, to }) => `${from} imports ${to}`);

describe("imports", () => {
  it("are found at all", () => {
    expect(own.length).toBeGreaterThan(200);
    expect(lines(own)).toContain("proxy/crypto/feed.ts imports proxy/matrix/json.ts");
    expect(own.every(({ to }) => existsSync(join(root, to)))).toBe(true);
  });

  it("point one way", () => {
    const wrong = own.filter(({ from, to }) => {
      const [a, b] = [partOf(from), partOf(to)];
      return a !== b && allowed[a]?.includes(b) !== true;
    });
    expect(lines(wrong)).toEqual([]);
  });

  it("make no cycle between parts", () => {
    const edges = new Map<string, Set<string>>();
    for (const { from, to } of own) {
      const [a, b] = [partOf(from), partOf(to)];
      if (a !== b) edges.set(a, (edges.get(a) ?? new Set()).add(b));
    }
    const cycles: string[] = [];
    const walk = (part: string, path: readonly string[]): void => {
      if (path.includes(part)) cycles.push([...path, part].join(" -> "));
      else for (const next of edges.get(part) ?? []) walk(next, [...path, part]);
    };
    for (const part of edges.keys()) walk(part, []);
    expect(cycles).toEqual([]);
  });

  it("reach the key store through its entry alone", () => {
    const inside = own.filter(
      ({ from, to }) =>
        partOf(from) !== "crypto-store" &&
        partOf(to) === "crypto-store" &&
        to !== "crypto-store/index.ts",
    );
    expect(lines(inside)).toEqual([]);
  });

  it("load the daemon from the command line only when it is to run", () => {
    const eager = own.filter(
      ({ from, to, isType, isLazy }) =>
        partOf(from) === "cli" && to === "proxy/main.ts" && !isType && !isLazy,
    );
    expect(lines(eager)).toEqual([]);
  });

  it("take of the crypto protocol nothing but types into the routes", () => {
    const values = own.filter(
      ({ from, to, isType }) =>
        partOf(from) === "proxy/routes" && partOf(to) === "proxy/crypto" && !isType,
    );
    expect(lines(values)).toEqual([]);
  });

  it.each([
    ["@matrix-org/matrix-sdk-crypto-wasm", /^(proxy\/crypto|playground|bench)\//],
    ["@fastify/http-proxy", /^proxy\/homeserver\//],
    ["undici", /^(proxy\/homeserver|proxy\/observe|playground|bench)\//],
    ["commander", /^cli\//],
    ["@napi-rs/keyring", /^proxy\/config\//],
  ])("keep %s in its place", (name, place) => {
    const users = imports.filter(({ to, isType }) => to === name && !isType);
    expect(lines(users.filter(({ from }) => !place.test(from)))).toEqual([]);
    expect(users.length).toBeGreaterThan(0);
  });

  it("open databases in the key store alone", () => {
    const users = imports.filter(({ to, isType }) => to === "better-sqlite3" && !isType);
    expect(users.map(({ from }) => partOf(from)).filter((part) => part !== "crypto-store")).toEqual(
      [],
    );
  });
});

const everything: Source[] = sources("", ".ts", ".mjs", ".js", ".py", ".json", ".md", ".example");

describe("files", () => {
  it("stay below 350 lines of code", () => {
    const long = code.filter((source) => source.lines > 350);
    expect(long.map(({ path, lines: count }) => `${path}: ${count} lines`)).toEqual([]);
  });

  it("name no place on the machine that they were written on", () => {
    // Put together here, so that this file does not hold what it looks for.
    const places = ["work", "root"].map((name) => `/${name}/`);
    if (root.split("/").length > 2) places.push(`${root}/`);
    const found = everything.filter(({ text }) => places.some((place) => text.includes(place)));
    expect(found.map(({ path }) => path)).toEqual([]);
  });

  it("name no package registry", () => {
    const hosts = new RegExp(["registry\\.", "npm" + "js\\.", "py" + "pi\\."].join("|"), "i");
    const found = everything.filter(({ text }) =>
      text.split("\n").some((line) => /https?:\/\//.test(line) && hosts.test(line)),
    );
    expect(found.map(({ path }) => path)).toEqual([]);
  });
});

describe("package.json", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<
    "dependencies" | "optionalDependencies",
    Record<string, string>
  >;
  const document = readFileSync(join(root, "docs/dependencies.md"), "utf8");
  const names = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });

  it.each(names)("has a reason for %s in docs/dependencies.md", (name) => {
    const line = document.split("\n").find((text) => text.startsWith(`- \`${name}\`: `));
    expect(line?.length ?? 0).toBeGreaterThan(name.length + 25);
  });

  it.each(names)("needs %s somewhere in what is shipped", (name) => {
    const written = code.some(({ text }) => text.includes(`"${name}"`));
    expect(written).toBe(true);
  });
});
