import { afterEach, describe, expect, it } from "vitest";
import { ask } from "../server/front.ts";
import { startSection } from "./section.ts";
import type { Section } from "./section.ts";

const C = "/_matrix/client/v3";
const WHOAMI = `GET ${C}/account/whoami`;
const ALICE = { user_id: "@alice:example.org", device_id: "DEV", access_token: "tok" };

let section: Section | undefined;

afterEach(async () => {
  await section?.stop();
  section = undefined;
});

async function start(...parameters: Parameters<typeof startSection>): Promise<Section> {
  return (section = await startSection(...parameters));
}

/** Whom the accounts take a token for without asking the homeserver. */
async function ownerOf({ accounts, asked }: Section, token: string): Promise<string> {
  const before = asked.length;
  const { userId, deviceId } = await accounts.identify(token);
  expect(asked).toHaveLength(before);
  return `${userId} ${deviceId ?? "-"}`;
}

describe("POST /login", () => {
  it.each([
    { type: "m.login.password", identifier: { type: "m.id.user", user: "alice" }, password: "x" },
    { type: "m.login.token", token: "x" },
    { type: "m.login.application_service", identifier: { type: "m.id.user", user: "alice" } },
  ])("teaches the token of $type, and passes byte for byte", async (login) => {
    const answer = `{ "access_token": "tok", "device_id":"DEV", "user_id":"@alice:example.org","x":1.0 }`;
    const started = await start({ [`POST ${C}/login`]: [200, answer] });
    const body = JSON.stringify(login);
    const response = await ask(started.front.port, `${C}/login`, { method: "POST", body });
    expect(response).toMatchObject({ status: 200, body: answer });
    expect(started.asked).toEqual([`POST ${C}/login ${body}`]);
    expect(await ownerOf(started, "tok")).toBe("@alice:example.org DEV");
  });

  it("points well_known to the proxy as the client called it, and keeps the rest of it", async () => {
    const wellKnown = {
      "m.homeserver": { base_url: "https://matrix.example.org", extra: 1 },
      "m.identity_server": { base_url: "https://id.example.org" },
      "org.matrix.msc3575.proxy": { url: "https://sliding.example.org" },
    };
    const { front } = await start({
      [`POST ${C}/login`]: [200, { ...ALICE, well_known: wellKnown }],
    });
    const headers = { host: "localhost:1234" };
    const response = await ask(front.port, `${C}/login`, { method: "POST", body: "{}", headers });
    expect(JSON.parse(response.body)).toEqual({
      ...ALICE,
      well_known: {
        "m.homeserver": { base_url: "http://localhost:1234", extra: 1 },
        "m.identity_server": { base_url: "https://id.example.org" },
      },
    });
  });

  it("points well_known to the configured URL where there is one", async () => {
    const answer = { ...ALICE, well_known: { "m.homeserver": { base_url: "https://x.example" } } };
    const { front } = await start(
      { [`POST ${C}/login`]: [200, answer] },
      new URL("https://proxy.example/"),
    );
    const response = await ask(front.port, `${C}/login`, { method: "POST", body: "{}" });
    expect(response.body).toContain('"base_url":"https://proxy.example"');
  });

  it("teaches nothing by a refusal", async () => {
    const started = await start({
      [`POST ${C}/login`]: [403, { errcode: "M_FORBIDDEN", ...ALICE }],
    });
    const response = await ask(started.front.port, `${C}/login`, { method: "POST", body: "{}" });
    expect(response.status).toBe(403);
    expect(started.changes).toEqual([]);
  });

  it.each(["no json", "[]", '{"access_token":5,"user_id":"@a:b","device_id":"D"}'])(
    "passes an answer that is none: %s",
    async (answer) => {
      const started = await start({ [`POST ${C}/login`]: [200, answer] });
      const response = await ask(started.front.port, `${C}/login`, { method: "POST", body: "{}" });
      expect(response).toMatchObject({ status: 200, body: answer });
      expect(started.changes).toEqual([]);
    },
  );

  it("lets the flows and the redirects of single sign-on pass", async () => {
    const location = "https://idp.example/?x=1";
    const { front } = await start({
      [`GET ${C}/login`]: [200, '{ "flows": [] }'],
      [`GET ${C}/login/sso/redirect`]: [302, "", { location }],
      [`GET ${C}/login/sso/redirect/idp`]: [302, "", { location }],
    });
    expect((await ask(front.port, `${C}/login`)).body).toBe('{ "flows": [] }');
    for (const path of [
      `${C}/login/sso/redirect?redirectUrl=a`,
      `${C}/login/sso/redirect/idp?redirectUrl=a`,
    ]) {
      expect(await ask(front.port, path)).toMatchObject({ status: 302, headers: { location } });
    }
  });
});

describe("POST /register", () => {
  const post = (port: number, body: string): ReturnType<typeof ask> =>
    ask(port, `${C}/register?kind=user`, { method: "POST", body });

  it("teaches the token", async () => {
    const started = await start({ [`POST ${C}/register`]: [200, ALICE] });
    expect((await post(started.front.port, "{}")).body).toBe(JSON.stringify(ALICE));
    expect(await ownerOf(started, "tok")).toBe("@alice:example.org DEV");
  });

  it("passes an answer without a token, for inhibit_login", async () => {
    const started = await start({
      [`POST ${C}/register`]: [200, { user_id: "@alice:example.org" }],
    });
    expect((await post(started.front.port, '{"inhibit_login":true}')).status).toBe(200);
    expect(started.changes).toEqual([]);
  });

  it("passes a round of user-interactive authentication", async () => {
    const round = '{ "session": "x", "flows": [{"stages": ["m.login.dummy"]}] }';
    const started = await start({ [`POST ${C}/register`]: [401, round] });
    expect(await post(started.front.port, "{}")).toMatchObject({ status: 401, body: round });
    expect(started.changes).toEqual([]);
  });
});

describe("POST /refresh", () => {
  it("asks whose the new token is, and passes the answer", async () => {
    const answer = { access_token: "new", refresh_token: "r2", expires_in_ms: 60_000 };
    const started = await start({
      [`POST ${C}/refresh`]: [200, answer],
      [WHOAMI]: [200, { user_id: "@alice:example.org", device_id: "DEV" }],
    });
    const body = '{"refresh_token":"r1"}';
    const response = await ask(started.front.port, `${C}/refresh`, { method: "POST", body });
    expect(JSON.parse(response.body)).toEqual(answer);
    expect(await ownerOf(started, "new")).toBe("@alice:example.org DEV");
  });

  it("passes the answer although nobody can say whose the token is", async () => {
    const { front } = await start({
      [`POST ${C}/refresh`]: [200, { access_token: "new" }],
      [WHOAMI]: [500, {}],
    });
    const response = await ask(front.port, `${C}/refresh`, { method: "POST", body: "{}" });
    expect(response).toMatchObject({ status: 200, body: '{"access_token":"new"}' });
  });
});

describe("GET /account/whoami", () => {
  it("passes and teaches", async () => {
    const answer = '{ "user_id": "@alice:example.org", "device_id": "DEV" }';
    const started = await start({ [WHOAMI]: [200, answer] });
    const headers = { authorization: "Bearer tok" };
    const response = await ask(started.front.port, `${C}/account/whoami`, { headers });
    expect(response).toMatchObject({ status: 200, body: answer });
    expect(await ownerOf(started, "tok")).toBe("@alice:example.org DEV");
  });

  it("passes the refusal of an unknown token", async () => {
    const answer = { errcode: "M_UNKNOWN_TOKEN", error: "no", soft_logout: true };
    const { front } = await start({ [WHOAMI]: [401, answer] });
    const headers = { authorization: "Bearer tok" };
    const response = await ask(front.port, `${C}/account/whoami`, { headers });
    expect(response).toMatchObject({ status: 401, body: JSON.stringify(answer) });
  });

  it("passes without a token", async () => {
    const { front } = await start({ [WHOAMI]: [401, { errcode: "M_MISSING_TOKEN" }] });
    expect((await ask(front.port, `${C}/account/whoami`)).status).toBe(401);
  });
});
