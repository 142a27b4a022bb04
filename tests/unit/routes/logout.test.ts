import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DeviceId, UserId } from "../../../proxy/matrix/identifiers.ts";
import { ask } from "../server/front.ts";
import { startSection } from "./section.ts";
import type { Canned, Section } from "./section.ts";

const C = "/_matrix/client/v3";
const ALICE = "@alice:example.org" as UserId;
const BOB = "@bob:example.org" as UserId;
const OK: Canned = [200, {}];
const GONE: Canned = [401, { errcode: "M_UNKNOWN_TOKEN", error: "no" }];

let section: Section;
const answers: Record<string, Canned> = {};

beforeEach(async () => {
  for (const key of Object.keys(answers)) Reflect.deleteProperty(answers, key);
  answers[`GET ${C}/account/whoami`] = GONE;
  section = await startSection(answers);
  const learn = (token: string, userId: UserId, deviceId: string): unknown =>
    section.accounts.learn({ token, userId, deviceId: deviceId as DeviceId });
  learn("alice-one", ALICE, "ONE");
  learn("alice-two", ALICE, "TWO");
  learn("bob", BOB, "ONE");
  section.changes.length = 0;
});

afterEach(() => section.stop());

function call(method: string, path: string, token: string, body = "{}"): ReturnType<typeof ask> {
  const headers = { authorization: `Bearer ${token}`, "content-length": body.length };
  return ask(section.front.port, `${C}${path}`, { method, headers, body });
}

function left(): string[] {
  return section.accounts
    .devices()
    .map(({ userId, deviceId }) => `${userId} ${deviceId}`)
    .sort();
}

const ALL = [`${ALICE} ONE`, `${ALICE} TWO`, `${BOB} ONE`];

describe("once the homeserver has agreed", () => {
  it.each<[string, string, string, string[]]>([
    ["POST", "/logout", "{}", [`${ALICE} ONE`]],
    ["POST", "/logout/all", "{}", [`${ALICE} ONE`, `${ALICE} TWO`]],
    ["POST", "/account/deactivate", "{}", [`${ALICE} ONE`, `${ALICE} TWO`]],
    ["DELETE", "/devices/TWO", "{}", [`${ALICE} TWO`]],
    ["POST", "/delete_devices", '{"devices":["ONE","TWO",5]}', [`${ALICE} ONE`, `${ALICE} TWO`]],
    ["POST", "/account/password", "{}", [`${ALICE} TWO`]],
    ["POST", "/account/password", '{"logout_devices":true}', [`${ALICE} TWO`]],
    ["POST", "/account/password", '{"logout_devices":false}', []],
  ])("%s %s %s ends its devices and no others", async (method, path, body, gone) => {
    answers[`${method} ${C}${path}`] = OK;
    expect((await call(method, path, "alice-one", body)).status).toBe(200);
    expect(left()).toEqual(ALL.filter((device) => !gone.includes(device)));
    expect(section.changes.sort()).toEqual(gone.map((device) => `gone ${device}`));
    expect(section.asked).toEqual([`${method} ${C}${path} ${body}`]);
  });
});

describe("nothing ends", () => {
  it.each([
    ["POST", "/logout"],
    ["DELETE", "/devices/TWO"],
  ])("by %s %s while the homeserver asks for the password", async (method, path) => {
    answers[`${method} ${C}${path}`] = [401, { flows: [], session: "x" }];
    expect((await call(method, path, "alice-one")).status).toBe(401);
    expect(left()).toEqual(ALL);
  });

  it("by reading or renaming a device", async () => {
    answers[`GET ${C}/devices/TWO`] = OK;
    answers[`PUT ${C}/devices/TWO`] = OK;
    expect((await call("GET", "/devices/TWO", "alice-one")).status).toBe(200);
    expect((await call("PUT", "/devices/TWO", "alice-one")).status).toBe(200);
    expect(left()).toEqual(ALL);
  });

  it("by a token that nobody knows, even if the homeserver agrees", async () => {
    answers[`POST ${C}/logout`] = OK;
    expect((await call("POST", "/logout", "stranger")).status).toBe(200);
    expect(left()).toEqual(ALL);
  });
});

describe("a 401 M_UNKNOWN_TOKEN on any answer", () => {
  it.each(["/profile/@a:b", "/logout"])("of %s ends the device", async (path) => {
    const method = path === "/logout" ? "POST" : "GET";
    answers[`${method} ${C}${path}`] = GONE;
    expect((await call(method, path, "alice-one", "")).status).toBe(401);
    expect(section.changes).toEqual([`gone ${ALICE} ONE`]);
    expect(left()).toEqual(ALL.slice(1));
  });

  it("with soft_logout ends the token only", async () => {
    answers[`GET ${C}/x`] = [401, { errcode: "M_UNKNOWN_TOKEN", error: "no", soft_logout: true }];
    await call("GET", "/x", "alice-one", "");
    expect(section.changes).toEqual([]);
    await expect(section.accounts.identify("alice-one")).rejects.toMatchObject({
      errcode: "M_UNKNOWN_TOKEN",
      fields: { soft_logout: true },
    });
  });
});
