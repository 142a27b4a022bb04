import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { KeyWrapper } from "../../../proxy/accounts/key-wrapping.ts";
import { newSectionKey, writeSectionKey } from "../../../proxy/accounts/section-key.ts";
import { probeNode } from "../../../cli/doctor.ts";
import type { Finding } from "../../../proxy/observe/finding.ts";
import { probeFiles } from "../../../proxy/observe/probe-files.ts";
import { probeHomeserver } from "../../../proxy/observe/probe-homeserver.ts";
import { probePort } from "../../../proxy/observe/probe-port.ts";
import { selfSigned } from "./self-signed.ts";

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

async function listen(server: Server) {
  server.listen(0, "127.0.0.1");
  await new Promise<void>((resolve) => server.once("listening", () => resolve()));
  stops.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A server that answers with JSON by path, 404 otherwise. */
function answering(answers: Record<string, unknown>): RequestListener {
  return (request, response) => {
    const answer = answers[request.url ?? ""];
    response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer ?? { errcode: "M_UNRECOGNIZED" }));
  };
}

const versions = { "/_matrix/client/versions": { versions: ["r0.6.1", "v1.1", "v1.12"] } };
const flows = (...types: string[]) => ({
  "/_matrix/client/v3/login": { flows: types.map((type) => ({ type })) },
});

async function probe(listener: RequestListener): Promise<string[]> {
  const port = await listen(createServer(listener));
  return (await probeAt(`http://127.0.0.1:${port}`)).map((line) =>
    line.replaceAll(String(port), "PORT"),
  );
}

async function probeAt(url: string, verify = true): Promise<string[]> {
  const homeserver = new URL(url);
  return show(await probeHomeserver({ homeserver, tls: { verify }, upstreamProxy: null }));
}

function show(findings: readonly Finding[]): string[] {
  return findings.map(({ status, check, message, hint }) => {
    const line = `${status} ${check}: ${message}`;
    return hint === null ? line : `${line} (${hint})`;
  });
}

describe("probeHomeserver", () => {
  it("finds a homeserver, its software and its ways to log in", async () => {
    const software = {
      "/_matrix/federation/v1/version": { server: { name: "Synapse", version: "1.2" } },
    };
    const login = flows(
      "m.login.password",
      "m.login.sso",
      "org.other",
      "m.login.application_service",
    );
    expect(await probe(answering({ ...versions, ...software, ...login }))).toEqual([
      "ok homeserver: http://127.0.0.1:PORT/ answers: r0.6.1, v1.1, v1.12",
      "ok version: Synapse 1.2",
      "ok login: password, single sign-on, application service",
    ]);
  });

  it("asks below the path of the base URL", async () => {
    const base = answering({ "/base/_matrix/client/versions": { versions: ["v1.1"] } });
    const port = await listen(createServer(base));
    expect((await probeAt(`http://127.0.0.1:${port}/base/`))[0]).toMatch(
      /^ok homeserver: .* v1\.1$/,
    );
  });

  it("warns where bridges cannot log in", async () => {
    expect(await probe(answering({ ...versions, ...flows("m.login.password") }))).toContain(
      "warn login: password; not for application services (only bridges need that: matrix-appservice-bridge refuses to encrypt without it)",
    );
  });

  it("knows a homeserver that has OAuth only", async () => {
    const metadata = { "/_matrix/client/v1/auth_metadata": { issuer: "https://x" } };
    expect(await probe(answering({ ...versions, ...metadata }))).toContain(
      "ok login: OAuth 2.0 only: clients bring their token, which is learnt from the homeserver",
    );
  });

  it("fails where nobody can log in", async () => {
    expect(await probe(answering(versions))).toContain(
      "fail login: expected a way to log in that clients know, got status 404 and none (clients must bring an access token that they already have)",
    );
  });

  it("warns of a homeserver that is too old", async () => {
    const old = { "/_matrix/client/versions": { versions: ["r0.5.0"] } };
    expect(await probe(answering({ ...old, ...flows("m.login.password") }))).toContain(
      "warn homeserver: the homeserver does not speak Matrix 1.1 or later (update the homeserver)",
    );
  });

  it.each([
    ["another site", answering({}), 404],
    ["versions that are none", answering({ "/_matrix/client/versions": { versions: 1 } }), 200],
    [
      "no JSON",
      (_: unknown, response: Parameters<RequestListener>[1]) => void response.end("<html>"),
      200,
    ],
  ])("fails on %s", async (_name, listener, status) => {
    expect(await probe(listener)).toEqual([
      `fail homeserver: expected the versions of a homeserver at http://127.0.0.1:PORT/, got status ${status} and something else (is this the base URL of a homeserver? see its /.well-known/matrix/client)`,
    ]);
  });

  it("fails on a redirect and follows none", async () => {
    const redirect: RequestListener = (_request, response) => {
      response.writeHead(302, { location: "https://elsewhere.example.org/" }).end();
    };
    expect(await probe(redirect)).toEqual([
      "fail homeserver: http://127.0.0.1:PORT/ redirects to https://elsewhere.example.org/ (redirects are not followed: set Homeserver to the base URL itself)",
    ]);
  });

  it("fails where nothing listens, and where plain http is spoken for https", async () => {
    const server = createSocketServer();
    const port = await listen(server);
    server.close();
    expect(await probeAt(`http://127.0.0.1:${port}`)).toEqual([
      `fail homeserver: http://127.0.0.1:${port}/ cannot be reached: ECONNREFUSED (is the homeserver running, and is the port right?)`,
    ]);
    const plain = await listen(createServer(answering(versions)));
    expect((await probeAt(`https://127.0.0.1:${plain}`))[0]).toMatch(
      /^fail homeserver: .* cannot be reached: ERR_SSL_\w+ \(does that port speak plain http\?\)$/,
    );
  });

  it("refuses a certificate that nobody signed unless SSL = False", async () => {
    const listener = answering({ ...versions, ...flows("m.login.application_service") });
    const url = `https://localhost:${await listen(createTlsServer(selfSigned, listener))}`;
    expect(await probeAt(url)).toEqual([
      `fail tls: the certificate of ${url}/ is not accepted (DEPTH_ZERO_SELF_SIGNED_CERT) (name its authority in NODE_EXTRA_CA_CERTS; SSL = False would accept any certificate, anybody's)`,
    ]);
    expect(await probeAt(url, false)).toContain(
      "warn tls: the certificate is not verified (SSL = False) (set SSL = True unless this is a test)",
    );
  });
});

describe("probePort", () => {
  const at = async (listenPort: number, listenAddress = "127.0.0.1") =>
    show([await probePort({ listenAddress, listenPort })])[0];

  it("finds a port that is free, and one that any will do for", async () => {
    const server = createSocketServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    expect(await at(port)).toBe(
      `ok port: http://127.0.0.1:${port} is free: the daemon is not running`,
    );
    expect(await at(0)).toBe("ok port: any free port is taken");
  });

  it("tells a daemon that is already there from another program", async () => {
    const daemon = await listen(createServer(answering(versions)));
    expect(await at(daemon)).toBe(
      `warn port: http://127.0.0.1:${daemon} is taken by something that speaks Matrix: this daemon, or another proxy (that is as it should be if it is this daemon)`,
    );
    const other = await listen(createServer((_request, response) => response.end("hello")));
    expect(await at(other)).toBe(
      `fail port: http://127.0.0.1:${other} is taken by another program (stop it, or set another ListenPort)`,
    );
  });

  it("fails on an address that this machine does not have", async () => {
    expect(await at(8009, "192.0.2.1")).toBe(
      "fail port: http://192.0.2.1:8009 cannot be listened on: EADDRNOTAVAIL (is the address one of this machine's?)",
    );
  });
});

describe("probeFiles", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "kirjava-probe-"));
    stops.push(() => rmSync(directory, { recursive: true, force: true }));
  });

  const probeIn = async () => {
    const path = join(directory, "keys/k");
    const generationPath = join(directory, "keys/k.generation");
    const dataDirectory = join(directory, "data");
    const found = await probeFiles(
      { dataDirectory, storeKey: { kind: "file", path, generationPath } },
      {},
    );
    return show(found).map((line) => line.replaceAll(directory, "D"));
  };
  const put = (path: string, mode: number) => {
    writeFileSync(join(directory, path), "5f0b3c".repeat(10) + "aaaa");
    chmodSync(join(directory, path), mode);
  };

  /** Makes section.key, under a master key of 64 hex digits. */
  const lock = (master: string) => {
    const wrapper = new KeyWrapper(Buffer.from(master, "hex"));
    writeSectionKey(join(directory, "data/section.key"), newSectionKey(), wrapper);
  };

  it("says what will be made, and makes nothing", async () => {
    for (let times = 0; times < 2; times++) {
      expect(await probeIn()).toEqual([
        "ok data: D/data will be made on first start",
        "ok key: file:D/keys/k will be made on first start",
        "ok generation: D/keys/k.generation will be made on first start",
      ]);
    }
  });

  it("finds a store that is in order", async () => {
    mkdirSync(join(directory, "keys"), { mode: 0o700 });
    mkdirSync(join(directory, "data"), { mode: 0o700 });
    put("keys/k", 0o600);
    put("keys/k.generation", 0o600);
    put("data/section.db", 0o600);
    lock("5f0b3c".repeat(10) + "aaaa");
    expect(await probeIn()).toEqual([
      "ok data: D/data belongs to this user alone (2 files)",
      "ok key: file:D/keys/k can be read",
      "ok generation: D/keys/k.generation is there",
    ]);
  });

  it("finds a key that is not the store's, and a store whose own key file is gone", async () => {
    mkdirSync(join(directory, "keys"), { mode: 0o700 });
    mkdirSync(join(directory, "data"), { mode: 0o700 });
    put("keys/k", 0o600);
    put("data/section.db", 0o600);
    expect(await probeIn()).toContain(
      "fail key: D/data/section.key is missing beside section.db: restore it from a backup",
    );
    lock("5f0b3c".repeat(10) + "bbbb");
    expect((await probeIn())[1]).toMatch(
      /^fail key: D\/data\/section\.key: needs master key [0-9a-f]{16}, got [0-9a-f]{16}: point StoreKey at/,
    );
  });

  it("finds a store whose key and generation number are gone", async () => {
    mkdirSync(join(directory, "data"), { mode: 0o700 });
    put("data/section.db", 0o600);
    expect(await probeIn()).toEqual([
      "ok data: D/data belongs to this user alone (1 files)",
      "fail key: the key file D/keys/k is not there, but a store made with it is (bring the key back from a backup; or, to begin anew with new devices, move the data directory away)",
      "fail generation: D/keys/k.generation is not there, so nothing shows that the store is not an old copy (bring the file back from where it went, or set GenerationFile to it)",
    ]);
  });

  it("finds files that others can reach, however deep, and names five of them at most", async () => {
    mkdirSync(join(directory, "keys"), { mode: 0o700 });
    mkdirSync(join(directory, "data/devices"), { recursive: true, mode: 0o700 });
    chmodSync(join(directory, "data"), 0o755);
    put("data/section.db", 0o600);
    put("data/devices/x.db", 0o644);
    put("keys/k", 0o640);
    put("keys/k.generation", 0o666);
    symlinkSync("/nowhere", join(directory, "data/devices/y.db"));
    const hint = "(chmod -R go= D/data)";
    expect(await probeIn()).toEqual([
      `fail data: expected mode 0700 for D/data, got 0755: others can reach it ${hint}`,
      `fail data: expected mode 0600 for D/data/devices/x.db, got 0644: others can reach it ${hint}`,
      `fail data: expected no symbolic link at D/data/devices/y.db ${hint}`,
      "fail key: expected mode 0600 for the key file D/keys/k, got 0640: others can reach it (chmod 600 D/keys/k)",
      "fail generation: expected mode 0600 for D/keys/k.generation, got 0666: others can reach it (chmod 600 D/keys/k.generation)",
    ]);
    for (let index = 0; index < 9; index++) put(`data/${index}.db`, 0o666);
    const many = (await probeIn()).filter((line) => line.startsWith("fail data"));
    expect(many).toHaveLength(6);
    expect(many.at(-1)).toBe("fail data: and more of these");
  });

  it("leaves a systemd credential to the service", async () => {
    const storeKey = { kind: "systemd", credential: "key", generationPath: "/nowhere/g" } as const;
    const found = show(await probeFiles({ dataDirectory: join(directory, "data"), storeKey }, {}));
    expect(found).toContain("skip key: systemd:key can be checked within the service only");
  });
});

describe("probeNode", () => {
  it.each([
    ["20.19.0", "ok"],
    ["20.18.9", "fail"],
    ["18.20.0", "fail"],
    ["22.0.0", "ok"],
  ])("of %s is %s", (version, status) => {
    expect(probeNode(version).status).toBe(status);
  });
});
