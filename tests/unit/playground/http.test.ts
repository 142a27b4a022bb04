import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { startPlayground } from "../../../playground/index.ts";
import { Client, at, request } from "./api.ts";
import { Fixture } from "./fixture.ts";

describe("the HTTP side", () => {
  const fixture = new Fixture();
  const get = (path: string, token?: string): Promise<unknown> =>
    request(fixture.playground.url, "GET", path, undefined, token);

  it("words its refusals as Synapse does", async () => {
    expect(await get("account/whoami")).toEqual({
      status: 401,
      body: { errcode: "M_MISSING_TOKEN", error: "Missing access token" },
    });
    expect(await get("account/whoami", "nonsense")).toEqual({
      status: 401,
      body: {
        errcode: "M_UNKNOWN_TOKEN",
        error: "Invalid access token passed.",
        soft_logout: false,
      },
    });
    const unknown = { errcode: "M_UNRECOGNIZED", error: "Unrecognized request" };
    expect(await get("no/such/thing")).toEqual({ status: 404, body: unknown });
    expect(await get("logout")).toEqual({ status: 405, body: unknown });
    const alice = await fixture.user("alice");
    const notJson = await fetch(`${fixture.playground.url}/_matrix/client/v3/createRoom`, {
      method: "POST",
      headers: { Authorization: `Bearer ${alice.token}` },
      body: "{",
    });
    expect(await notJson.json()).toEqual({ errcode: "M_NOT_JSON", error: "Content not JSON." });
  });

  it("takes the token from the query, and sends from every version's path", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    for (const [index, version] of ["r0", "v3", "unstable", "api/v1"].entries()) {
      const path = `/_matrix/client/${version}/rooms/${roomId}/send/org.test/t${index}`;
      const query = `?access_token=${alice.token}`;
      expect((await request(fixture.playground.url, "PUT", path + query, {})).status).toBe(200);
    }
    expect(
      fixture.playground.store.events(roomId).filter((e) => e.type === "org.test").length,
    ).toBe(4);
    const doubled = `/_matrix/client/v3/rooms/${roomId}//send/org.test/x`;
    expect((await alice.request("PUT", doubled, {})).status).toBe(404);
    const encoded = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/org%2Etest/y`;
    expect((await alice.request("PUT", encoded, {})).status).toBe(200);
  });

  it("registers by dummy authentication, with and without a login, and by shared secret", async () => {
    const { url } = fixture.playground;
    const challenge = await request(url, "POST", "register", { username: "eve" });
    expect(challenge.status).toBe(401);
    expect(challenge.body["flows"]).toEqual([{ stages: ["m.login.dummy"] }]);
    const auth = { type: "m.login.dummy", session: challenge.body["session"] };
    const body = { username: "eve", password: "secret", inhibit_login: true, auth };
    expect((await request(url, "POST", "register", body)).body).toEqual({
      user_id: "@eve:playground",
      home_server: "playground",
    });
    const again = await request(url, "POST", "register", body);
    expect(again.body["errcode"]).toBe("M_USER_IN_USE");
    const nonce = (await request(url, "GET", "/_synapse/admin/v1/register")).body["nonce"];
    const mac = createHmac("sha1", "playground-secret")
      .update([String(nonce), "root", "pass", "admin"].join("\0"))
      .digest("hex");
    const admin = { nonce, username: "root", password: "pass", admin: true, mac };
    const made = await request(url, "POST", "/_synapse/admin/v1/register", admin);
    expect(made.body["user_id"]).toBe("@root:playground");
  });

  it("refreshes tokens; the old one ends, an expired one is a soft logout", async () => {
    await fixture.user("alice");
    const { url } = fixture.playground;
    const session = await request(url, "POST", "login", {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: "alice" },
      password: "alice-password",
      refresh_token: true,
    });
    const old = String(session.body["access_token"]);
    fixture.playground.store.accounts.expireToken(old);
    const expired = await request(url, "GET", "account/whoami", undefined, old);
    expect(expired.body["soft_logout"]).toBe(true);
    const { refresh_token } = session.body;
    const renewed = await request(url, "POST", "refresh", { refresh_token });
    const token = String(renewed.body["access_token"]);
    expect((await request(url, "GET", "account/whoami", undefined, token)).status).toBe(200);
    const twice = await request(url, "POST", "refresh", { refresh_token });
    expect([twice.status, twice.body["errcode"]]).toEqual([401, "M_UNKNOWN_TOKEN"]);
  });

  it("logs out one device or all, and asks for the password to delete one", async () => {
    const alice = await fixture.user("alice");
    const second = await fixture.device("alice", "SECOND");
    const refused = await alice.request("DELETE", "devices/SECOND", {});
    expect(refused.status).toBe(401);
    await second.post("logout");
    expect((await second.request("GET", "account/whoami")).status).toBe(401);
    const third = await fixture.device("alice", "THIRD");
    const auth = {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: "alice" },
      password: "alice-password",
    };
    await alice.post("delete_devices", { devices: ["THIRD"], auth });
    expect((await third.request("GET", "account/whoami")).status).toBe(401);
    await alice.post("logout/all");
    expect((await alice.request("GET", "account/whoami")).status).toBe(401);
  });

  it("keeps media byte for byte, with type and name, open on the old paths only", async () => {
    const alice = await fixture.user("alice");
    const { url } = fixture.playground;
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
    const uploaded = await fetch(`${url}/_matrix/media/v3/upload?filename=a%20b.bin`, {
      method: "POST",
      headers: { Authorization: `Bearer ${alice.token}`, "Content-Type": "application/x-test" },
      body: bytes,
    });
    const uri = String(at(await uploaded.json(), "content_uri")).slice("mxc://".length);
    for (const path of [`media/r0/download/${uri}`, `client/v1/media/download/${uri}`]) {
      const downloaded = await fetch(`${url}/_matrix/${path}`, {
        headers: path.startsWith("client") ? { Authorization: `Bearer ${alice.token}` } : {},
      });
      expect(downloaded.headers.get("content-type")).toBe("application/x-test");
      expect(downloaded.headers.get("content-disposition")).toContain("a%20b.bin");
      expect(Buffer.from(await downloaded.arrayBuffer()).equals(bytes)).toBe(true);
    }
    expect(await get(`/_matrix/client/v1/media/download/${uri}`)).toMatchObject({ status: 401 });
    expect(await get("/_matrix/media/v3/download/playground/none")).toMatchObject({ status: 404 });
  });

  it("comes up again with what it stored before", async () => {
    const alice = await fixture.user("alice");
    const roomId = await fixture.room(alice);
    const { store } = fixture.playground;
    await fixture.playground.stop();
    const again = await startPlayground({ store });
    const renewed = new Client(again.url, {
      user_id: alice.userId,
      device_id: alice.deviceId,
      access_token: alice.token,
    });
    expect(await renewed.get("joined_rooms")).toEqual({ joined_rooms: [roomId] });
    await again.stop();
  });

  it("ends waiting long polls when it stops", async () => {
    const alice = await fixture.user("alice");
    const since = await alice.position();
    const poll = alice.get(`sync?timeout=30000&since=${since}`);
    await fixture.playground.store.notifier.untilWaiting(alice.userId);
    const ended = expect(poll).rejects.toThrow();
    await fixture.playground.stop();
    await ended;
  });
});
