import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AccountLimits } from "../../../proxy/accounts/account-limits.ts";
import { Accounts } from "../../../proxy/accounts/accounts.ts";
import type { AccountChange } from "../../../proxy/accounts/accounts.ts";
import type { SectionDatabase } from "../../../proxy/accounts/section-database.ts";
import type { UpstreamRequest } from "../../../proxy/homeserver/homeserver.ts";
import { MatrixError } from "../../../proxy/matrix/errors.ts";
import { ManualClock, Place, address, silent } from "./section-fixture.ts";
import { UNKNOWN_TOKEN, WhoamiServer, owner } from "./whoami-server.ts";
import type { Answer } from "./whoami-server.ts";

const alice = address("@alice:example.org", "A");

let place: Place;
let clock: ManualClock;
let server: WhoamiServer;
let database: SectionDatabase;
let accounts: Accounts;

beforeEach(async () => {
  place = new Place();
  clock = new ManualClock();
  server = await WhoamiServer.start();
  server.answers.set("ta", owner("@alice:example.org", "A"));
  open();
});
afterEach(async () => {
  await server.stop();
  database.close();
  place.remove();
});

function open(limits: AccountLimits = {}): void {
  database = place.open();
  accounts = new Accounts(database, server.homeserver, clock, silent, limits);
}

function reopen(limits: AccountLimits = {}): void {
  database.close();
  open(limits);
}

async function errorOf(promise: Promise<unknown>): Promise<MatrixError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(MatrixError);
  return error as MatrixError;
}

async function expectUnknown(token: string): Promise<void> {
  const error = await errorOf(accounts.identify(token));
  expect([error.statusCode, error.errcode]).toEqual([401, "M_UNKNOWN_TOKEN"]);
}

describe("Accounts.identify", () => {
  it("asks the homeserver once about a token never seen, and not again within the bound", async () => {
    expect(await accounts.identify("ta")).toEqual({ ...alice, token: "ta" });
    clock.nowMs += 59_999;
    expect(await accounts.identify("ta")).toEqual({ ...alice, token: "ta" });
    expect(server.questions).toEqual([{ token: "ta", query: "" }]);
  });

  it("shares one request among look-ups of one token", async () => {
    server.hold();
    const both = [accounts.identify("ta"), accounts.identify("ta")];
    await server.asked(1);
    server.release();
    expect(await Promise.all(both)).toEqual([
      { ...alice, token: "ta" },
      { ...alice, token: "ta" },
    ]);
    expect(server.questions).toHaveLength(1);
  });

  it("does not ask about a token that a login answered", async () => {
    accounts.learn({ ...alice, token: "fresh" });
    expect(await accounts.identify("fresh")).toEqual({ ...alice, token: "fresh" });
    expect(server.questions).toEqual([]);
  });

  it("answers 401 M_MISSING_TOKEN where there is none", async () => {
    const error = await errorOf(accounts.identify(""));
    expect([error.statusCode, error.errcode]).toEqual([401, "M_MISSING_TOKEN"]);
    expect(server.questions).toEqual([]);
  });

  it.each([["a\r\nHost: evil"], ["a b"], ["\u{1f600}"], ["x".repeat(8193)], ["a\0b"]])(
    "refuses what no homeserver gives out without asking: %j",
    async (token) => {
      await expectUnknown(token);
      expect(server.questions).toEqual([]);
    },
  );

  it("answers a refused token from memory for a while", async () => {
    await expectUnknown("garbage");
    clock.nowMs += 4_999;
    await expectUnknown("garbage");
    expect(server.questions).toHaveLength(1);
    server.answers.set("garbage", owner("@bob:example.org", "B"));
    clock.nowMs += 1;
    expect((await accounts.identify("garbage")).userId).toBe("@bob:example.org");
  });

  it("passes soft_logout on, and remembers it", async () => {
    server.answers.set("old", {
      status: 401,
      body: { errcode: "M_UNKNOWN_TOKEN", error: "expired", soft_logout: true },
    });
    for (let round = 0; round < 2; round += 1) {
      const error = await errorOf(accounts.identify("old"));
      expect(error.toBody()).toEqual({
        errcode: "M_UNKNOWN_TOKEN",
        error: "expired",
        soft_logout: true,
      });
    }
    expect(server.questions).toHaveLength(1);
  });

  it("takes a token without a device as an account without one, and keeps it so", async () => {
    server.answers.set("as", owner("@bridge:example.org"));
    const expected = { userId: "@bridge:example.org", deviceId: null, token: "as" };
    expect(await accounts.identify("as")).toEqual(expected);
    reopen();
    await server.goDown();
    expect(await accounts.identify("as")).toEqual(expected);
    expect(accounts.devices()).toEqual([]);
  });

  it("asks for whom an application service speaks, and keeps each apart", async () => {
    server.answers.set("as", owner("@ghost:example.org", "G"));
    const masquerade = { userId: "@ghost:example.org", deviceId: "G" };
    expect(await accounts.identify("as", masquerade)).toEqual({
      ...address("@ghost:example.org", "G"),
      token: "as",
    });
    server.answers.set("as", owner("@bridge:example.org"));
    expect((await accounts.identify("as")).deviceId).toBeNull();
    expect((await accounts.identify("as", masquerade)).deviceId).toBe("G");
    expect(server.questions.map(({ query }) => query)).toEqual([
      "user_id=%40ghost%3Aexample.org&device_id=G&org.matrix.msc3202.device_id=G",
      "",
    ]);
    // The token alone does not speak for the ghost: it is no token for requests of our own.
    expect(accounts.latestToken(address("@ghost:example.org", "G"))).toBeNull();
  });

  it("serves no masquerade that the homeserver has refused since, be it down now", async () => {
    const masquerade = { userId: "@ghost:example.org", deviceId: "G" };
    server.answers.set("as", owner("@ghost:example.org", "G"));
    await accounts.identify("as", masquerade);
    clock.nowMs += 60_000;
    server.answers.set("as", { status: 403, body: { errcode: "M_FORBIDDEN", error: "not yours" } });
    expect((await errorOf(accounts.identify("as", masquerade))).errcode).toBe("M_FORBIDDEN");
    await server.goDown();
    clock.nowMs += 5_000;
    expect((await errorOf(accounts.identify("as", masquerade))).statusCode).toBe(502);
  });

  it.each<[string, Answer, number, string]>([
    ["403", { status: 403, body: { errcode: "M_FORBIDDEN", error: "no" } }, 403, "M_FORBIDDEN"],
    ["400", { status: 400, body: { errcode: "M_X", error: "no" } }, 400, "M_X"],
    [
      "locked",
      { status: 401, body: { errcode: "M_USER_LOCKED", error: "no" } },
      401,
      "M_USER_LOCKED",
    ],
    ["401 without errcode", { status: 401, body: "<html>" }, 502, "M_UNKNOWN"],
    ["404", { status: 404, body: { errcode: "M_UNRECOGNIZED", error: "no" } }, 502, "M_UNKNOWN"],
    ["redirect", { status: 302, body: "" }, 502, "M_UNKNOWN"],
    ["500", { status: 500, body: { errcode: "M_UNKNOWN", error: "no" } }, 502, "M_UNKNOWN"],
    ["no JSON", { status: 200, body: "{" }, 502, "M_UNKNOWN"],
    ["no user", { status: 200, body: { device_id: "A" } }, 502, "M_UNKNOWN"],
    ["user of another type", { status: 200, body: { user_id: ["@a:b"] } }, 502, "M_UNKNOWN"],
    ["user without @", { status: 200, body: { user_id: "a:b" } }, 502, "M_UNKNOWN"],
    ["user too long", { status: 200, body: { user_id: `@${"a".repeat(255)}` } }, 502, "M_UNKNOWN"],
    [
      "too large",
      { status: 200, body: { user_id: "@a:b", x: "x".repeat(70_000) } },
      502,
      "M_TOO_LARGE",
    ],
    [
      "429",
      { status: 429, body: { errcode: "M_LIMIT_EXCEEDED", error: "slow" } },
      429,
      "M_LIMIT_EXCEEDED",
    ],
  ])("answers a token never seen with its error: %s", async (_, answer, status, errcode) => {
    server.answers.set("t", answer);
    const error = await errorOf(accounts.identify("t"));
    expect([error.statusCode, error.errcode]).toEqual([status, errcode]);
    expect(accounts.devices()).toEqual([]);
  });

  it("passes retry_after_ms on", async () => {
    server.answers.set("t", {
      status: 429,
      body: { errcode: "M_LIMIT_EXCEEDED", error: "slow", retry_after_ms: 77 },
    });
    expect((await errorOf(accounts.identify("t"))).fields).toEqual({ retry_after_ms: 77 });
  });

  it("answers 429 beyond the bound of tokens never seen, and still serves known ones", async () => {
    reopen({ unknownAtOnce: 2, unknownWaiting: 1 });
    accounts.learn({ ...alice, token: "ta" });
    clock.nowMs += 60_000;
    server.hold();
    const waiting = ["u1", "u2", "u3"].map((token) => errorOf(accounts.identify(token)));
    await server.asked(2);
    const error = await errorOf(accounts.identify("u4"));
    expect([error.statusCode, error.errcode]).toEqual([429, "M_LIMIT_EXCEEDED"]);
    expect(error.fields).toEqual({ retry_after_ms: 1_000 });
    const known = accounts.identify("ta");
    await server.asked(3);
    expect(server.questions.map(({ token }) => token).sort()).toEqual(["ta", "u1", "u2"]);
    server.release();
    expect((await known).deviceId).toBe("A");
    expect((await Promise.all(waiting)).map(({ errcode }) => errcode)).toEqual([
      "M_UNKNOWN_TOKEN",
      "M_UNKNOWN_TOKEN",
      "M_UNKNOWN_TOKEN",
    ]);
  });

  it("keeps no more in memory than it may, and finds the rest in the database", async () => {
    reopen({ cacheSize: 1 });
    accounts.learn({ ...alice, token: "ta" });
    accounts.learn({ ...address("@bob:example.org", "B"), token: "tb" });
    expect((await accounts.identify("ta")).userId).toBe("@alice:example.org");
    // What was dropped from memory had its confirmation there.
    expect(server.questions).toHaveLength(1);
  });
});

describe("the bound within which a revoked token stops working", () => {
  beforeEach(async () => {
    await accounts.identify("ta");
    server.answers.delete("ta");
  });

  it("is revalidateMs after the homeserver last took it", async () => {
    clock.nowMs += 59_999;
    expect((await accounts.identify("ta")).deviceId).toBe("A");
    clock.nowMs += 1;
    await expectUnknown("ta");
    expect(accounts.latestToken(alice)).toBeNull();
  });

  it("moves on when the homeserver takes a request with it", async () => {
    clock.nowMs += 50_000;
    accounts.confirmed("ta");
    clock.nowMs += 59_999;
    expect((await accounts.identify("ta")).deviceId).toBe("A");
    clock.nowMs += 1;
    await expectUnknown("ta");
  });

  it("counts from the start of a long poll, not from its end", async () => {
    const sentAtMs = clock.now();
    clock.nowMs += 30_000;
    accounts.confirmed("ta", sentAtMs);
    clock.nowMs += 30_000;
    await expectUnknown("ta");
  });

  it("is not prolonged by confirming a token that is not known", async () => {
    accounts.rejected("ta", { softLogout: false });
    accounts.confirmed("ta");
    await expectUnknown("ta");
  });

  it("is zero after a restart", async () => {
    reopen();
    await expectUnknown("ta");
  });
});

describe("while the homeserver is down", () => {
  it("a known token is served, also after a restart; another is answered 502", async () => {
    await accounts.identify("ta");
    await server.goDown();
    clock.nowMs += 3_600_000;
    expect((await accounts.identify("ta")).deviceId).toBe("A");
    reopen();
    expect((await accounts.identify("ta")).deviceId).toBe("A");
    const error = await errorOf(accounts.identify("other"));
    expect([error.statusCode, error.errcode]).toEqual([502, "M_UNKNOWN"]);
    expect(error.message).toBe("the homeserver cannot be reached");
  });

  it("a homeserver that hangs is asked about known tokens once in a while only", async () => {
    // Counted where requests begin: within the time limit they need not arrive.
    let asked = 0;
    const homeserver = {
      request: (request: UpstreamRequest) => {
        asked += 1;
        return server.homeserver.request(request);
      },
    };
    accounts = new Accounts(database, homeserver, clock, silent, { revalidateTimeoutMs: 20 });
    accounts.learn({ ...alice, token: "ta" });
    accounts.learn({ ...address("@bob:example.org", "B"), token: "tb" });
    clock.nowMs += 60_000;
    server.hold();
    expect((await accounts.identify("ta")).deviceId).toBe("A");
    expect((await accounts.identify("ta")).deviceId).toBe("A");
    expect((await accounts.identify("tb")).deviceId).toBe("B");
    expect(asked).toBe(1);
    clock.nowMs += 5_000;
    expect((await accounts.identify("tb")).deviceId).toBe("B");
    expect(asked).toBe(2);
  });

  it.each([[429], [500], [404]])(
    "a known token is served on %i, others go on being asked",
    async (status) => {
      server.answers.set("tb", owner("@bob:example.org", "B"));
      await accounts.identify("ta");
      await accounts.identify("tb");
      server.answers.set("ta", { status, body: { errcode: "M_X", error: "no" } });
      server.answers.delete("tb");
      clock.nowMs += 60_000;
      expect((await accounts.identify("ta")).deviceId).toBe("A");
      await expectUnknown("tb");
    },
  );
});

describe("a token that the homeserver refuses", () => {
  it("takes its device with it when it was the last one", async () => {
    await accounts.identify("ta");
    accounts.files.fileFor(alice);
    accounts.rejected("ta", { softLogout: false });
    expect(accounts.files.stateOf(alice)).toBe("gone");
    expect(accounts.devices()).toEqual([]);
  });

  it("leaves device and keys after a soft logout", async () => {
    await accounts.identify("ta");
    const { path } = accounts.files.fileFor(alice);
    accounts.rejected("ta", { softLogout: true });
    expect(accounts.files.stateOf(alice)).toBe("active");
    expect(accounts.latestToken(alice)).toBeNull();
    accounts.learn({ ...alice, token: "next" });
    expect(accounts.files.fileFor(alice).path).toBe(path);
  });

  it("leaves the device where another token of it is known: it was replaced", () => {
    accounts.learn({ ...alice, token: "old" });
    accounts.learn({ ...alice, token: "new", origin: "refresh" });
    accounts.files.fileFor(alice);
    accounts.rejected("old", { softLogout: false });
    expect(accounts.files.stateOf(alice)).toBe("active");
    expect(accounts.latestToken(alice)).toBe("new");
  });

  it("is refused at once when asked again", async () => {
    await accounts.identify("ta");
    accounts.rejected("ta", { softLogout: false });
    await expectUnknown("ta");
    expect(server.questions).toHaveLength(1);
  });

  it("after which a login with the device id gets a new store", async () => {
    await accounts.identify("ta");
    const { path } = accounts.files.fileFor(alice);
    accounts.rejected("ta", { softLogout: false });
    accounts.learn({ ...alice, token: "after-login" });
    server.answers.set("tb", owner("@alice:example.org", "A"));
    await accounts.identify("tb");
    expect(accounts.files.fileFor(alice).path).not.toBe(path);
  });

  it.each(["whoami", "refresh"])(
    "after which the device lives on where %s names it again: the token had expired",
    async (way) => {
      await accounts.identify("ta");
      const { path } = accounts.files.fileFor(alice);
      accounts.rejected("ta", { softLogout: false });
      server.answers.set("tb", owner("@alice:example.org", "A"));
      if (way === "whoami") await accounts.identify("tb");
      else accounts.learn({ ...alice, token: "tb", origin: "refresh" });
      expect(accounts.files.fileFor(alice)).toMatchObject({ path, recheck: true });
    },
  );

  it("is dropped when a look-up under way finds out", async () => {
    await accounts.identify("ta");
    accounts.files.fileFor(alice);
    server.answers.set("ta", UNKNOWN_TOKEN);
    clock.nowMs += 60_000;
    await expectUnknown("ta");
    expect(accounts.files.stateOf(alice)).toBe("gone");
  });

  it("is served again after the homeserver refused it for another reason only", async () => {
    await accounts.identify("ta");
    accounts.files.fileFor(alice);
    server.answers.set("ta", { status: 401, body: { errcode: "M_USER_LOCKED", error: "locked" } });
    clock.nowMs += 60_000;
    for (let round = 0; round < 2; round += 1) {
      expect((await errorOf(accounts.identify("ta"))).errcode).toBe("M_USER_LOCKED");
    }
    expect(accounts.files.stateOf(alice)).toBe("active");
    server.answers.set("ta", owner("@alice:example.org", "A"));
    clock.nowMs += 5_000;
    expect((await accounts.identify("ta")).deviceId).toBe("A");
  });
});

describe("forgetting", () => {
  it("a token leaves its device and the device's other tokens", async () => {
    accounts.learn({ ...alice, token: "t1" });
    accounts.learn({ ...alice, token: "t2" });
    accounts.files.fileFor(alice);
    accounts.forgetToken("t2");
    expect(accounts.latestToken(alice)).toBe("t1");
    expect(accounts.files.stateOf(alice)).toBe("active");
    await expectUnknown("t2");
  });

  it("a device drops all its tokens and its store, for good", async () => {
    accounts.learn({ ...alice, token: "t1" });
    accounts.learn({ ...alice, token: "t2" });
    accounts.files.fileFor(alice);
    accounts.forgetDevice(alice);
    await expectUnknown("t1");
    await expectUnknown("t2");
    server.answers.set("t3", owner("@alice:example.org", "A"));
    await accounts.identify("t3");
    expect(accounts.files.stateOf(alice)).toBe("gone");
  });

  it("a device after its token was refused keeps it from coming back", async () => {
    await accounts.identify("ta");
    accounts.files.fileFor(alice);
    accounts.rejected("ta", { softLogout: false });
    accounts.forgetDevice(alice);
    server.answers.set("tb", owner("@alice:example.org", "A"));
    await accounts.identify("tb");
    expect(accounts.files.stateOf(alice)).toBe("gone");
  });

  it("a user drops every device, also one whose tokens are gone", async () => {
    const second = address("@alice:example.org", "A2");
    const bob = address("@bob:example.org", "B");
    for (const device of [alice, second, bob]) accounts.files.fileFor(device);
    accounts.learn({ ...alice, token: "t1" });
    accounts.learn({ ...bob, token: "tb" });
    accounts.forgetUser(alice.userId);
    await expectUnknown("t1");
    expect(accounts.files.stateOf(alice)).toBe("gone");
    expect(accounts.files.stateOf(second)).toBe("gone");
    expect(accounts.devices()).toEqual([{ ...bob, token: "tb" }]);
  });

  it.each<[string, () => void]>([
    ["token", () => accounts.forgetToken("ta")],
    ["device", () => accounts.forgetDevice(alice)],
    ["user", () => accounts.forgetUser(alice.userId)],
  ])("a %s also refuses a look-up that was under way", async (_, forget) => {
    server.hold();
    const error = errorOf(accounts.identify("ta"));
    await server.asked(1);
    forget();
    server.release();
    expect((await error).errcode).toBe("M_UNKNOWN_TOKEN");
    expect(accounts.devices()).toEqual([]);
  });

  it("a device refuses a look-up of its known token under way while the homeserver goes down", async () => {
    await accounts.identify("ta");
    clock.nowMs += 60_000;
    server.hold();
    const error = errorOf(accounts.identify("ta"));
    await server.asked(2);
    accounts.forgetDevice(alice);
    await server.goDown();
    expect((await error).errcode).toBe("M_UNKNOWN_TOKEN");
  });
});

describe("what is kept", () => {
  it("survives a restart: devices with their latest tokens", () => {
    const bob = address("@bob:example.org", "B");
    accounts.learn({ ...alice, token: "t1" });
    accounts.learn({ ...bob, token: "tb" });
    accounts.learn({ ...alice, token: "t2" });
    reopen();
    expect(accounts.latestToken(alice)).toBe("t2");
    expect(accounts.devices()).toEqual([
      { ...bob, token: "tb" },
      { ...alice, token: "t2" },
    ]);
    accounts.learn({ ...alice, token: "t1" });
    expect(accounts.latestToken(alice)).toBe("t1");
  });

  it("is the newest sixteen tokens of a device", () => {
    for (let number = 0; number < 40; number += 1) {
      accounts.learn({ ...alice, token: `t${number}` });
    }
    const tokens = database.connection
      .prepare<[], string>("SELECT token FROM access_token ORDER BY id")
      .pluck()
      .all();
    expect(tokens).toEqual(Array.from({ length: 16 }, (_, index) => `t${index + 24}`));
  });

  it("is told to listeners until they leave", async () => {
    const changes: AccountChange[] = [];
    const leave = accounts.onChange((change) => changes.push(change));
    await accounts.identify("ta");
    accounts.rejected("ta", { softLogout: false });
    accounts.learn({ ...alice, token: "next" });
    accounts.forgetDevice(alice);
    leave();
    accounts.learn({ ...alice, token: "later" });
    expect(changes).toEqual([
      { kind: "token", address: alice },
      { kind: "gone", address: alice },
      { kind: "token", address: alice },
      { kind: "gone", address: alice },
    ]);
  });
});
