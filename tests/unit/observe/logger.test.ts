import { describe, expect, it } from "vitest";

import { HomeserverUnreachable } from "../../../proxy/matrix/errors.ts";
import type { LoggerOptions } from "../../../proxy/observe/logger.ts";
import { createLogger, redactUrl } from "../../../proxy/observe/logger.ts";

const secret = "hunter2";
const token = "syt_YWxpY2U_bQnXGNhVmCOYLDTuMuEj_1xPd0b";

function capture(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const stream = { write: (line: string) => void lines.push(line) };
  const logger = createLogger({ level: "debug", format: "json", stream, ...options });
  const parsed = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { logger, lines, parsed };
}

class LibraryError extends Error {
  override readonly name = "LibraryError";
  readonly code = "E_LIBRARY";
  readonly headers = { authorization: `Bearer ${secret}` };
  readonly body = secret;
  readonly socket = { secret };
}

describe("createLogger", () => {
  it("writes one JSON object a line with level, time and message", () => {
    const { logger, lines, parsed } = capture();
    logger.info({ section: "example", port: 8009 }, "listening");
    expect(lines[0]).toMatch(
      /^\{"level":"info","time":"\d{4}-.*Z","section":"example","port":8009,"msg":"listening"\}\n$/,
    );
    expect(parsed()).toHaveLength(1);
  });

  it("gives a stack to a mistake, and none to what is only an answer to a client", () => {
    const { logger, parsed } = capture();
    logger.warn({ err: new TypeError("mistake") }, "failed");
    const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
    logger.warn({ err: new HomeserverUnreachable(refused) }, "failed");
    const [mistake, answer] = parsed().map(({ err }) => err);
    expect(mistake).toHaveProperty("stack");
    expect(answer).toEqual({
      type: "HomeserverUnreachable",
      message: "the homeserver cannot be reached",
      errcode: "M_UNKNOWN",
      statusCode: 502,
      cause: { type: "Error", message: "connect", code: "ECONNREFUSED" },
    });
  });

  it("leaks nothing, whatever it is given and however", () => {
    const { logger, lines } = capture();
    const error = new LibraryError(`GET /sync?access_token=${secret} failed`, {
      cause: new Error(`token=${token}`, {
        cause: new AggregateError([new LibraryError(token)], token),
      }),
    });
    logger.info({ err: error }, "failed");
    logger.info({ error, cause: error, nested: { deep: error } }, "failed");
    logger.info(error);
    logger.info(error, `Bearer ${secret}`);
    logger.info("%s and %o and %j", token, { access_token: secret }, { password: secret });
    logger.child({ access_token: secret, url: `/sync?access_token=${secret}` }).info("child");
    logger
      .child({ a: 1 })
      .child({ token: { value: secret } })
      .info({ headers: { cookie: secret } });
    logger.child({}, { serializers: { thing: () => ({ password: secret }) } }).info({ thing: 1 });
    logger.child({}, { msgPrefix: `Bearer ${secret}: ` }).info("prefixed");
    logger.info({ event: { content: { body: secret } }, key: Buffer.from(secret.repeat(5)) });
    logger.info({ toJSON: () => ({ password: secret }) });
    logger.info({
      req: { method: "GET", url: `/x?foo=${secret}`, headers: { authorization: secret } },
    });
    logger.info({ res: { statusCode: 200, body: secret, headers: { "set-cookie": secret } } });
    logger.info({ [`access_token=${secret}`]: 1 });
    logger.error({ err: { message: `password: ${secret}` } });
    logger.info(new URL(`http://user:${secret}@localhost/`));
    logger.info({ url: new URL(`http://user:${secret}@localhost/`) });
    const all = lines.join("");
    expect(lines).toHaveLength(17);
    expect(all).not.toContain(secret);
    expect(all).not.toContain("bQnXGNhVmCOYLDTuMuEj");
    expect(all).not.toContain(Buffer.from(secret).join(","));
  });

  it("leaks nothing through the message of a JSON error", () => {
    const { logger, lines } = capture();
    try {
      JSON.parse(`${secret} is my password`);
    } catch (error) {
      logger.warn({ err: error }, String(error));
      logger.warn(error);
    }
    expect(lines).toHaveLength(2);
    expect(lines.join("")).not.toContain("unter");
    expect(lines[0]).toContain("not valid JSON");
  });

  it("keeps what helps of an error: name, code, frames and causes", () => {
    const { logger, parsed } = capture();
    logger.error({ err: new LibraryError("first\nsecond", { cause: new Error("why") }) }, "failed");
    const { err } = parsed()[0] as { err: Record<string, unknown> };
    expect(err).toMatchObject({
      type: "LibraryError",
      code: "E_LIBRARY",
      message: "first\nsecond",
      cause: { type: "Error", message: "why" },
    });
    expect(err["stack"]).toMatch(/^ +at .*logger\.test\.ts/);
    expect(Object.keys(err).sort()).toEqual(["cause", "code", "message", "stack", "type"]);
  });

  it("survives cycles, big integers and getters that throw", () => {
    const { logger, lines } = capture();
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    logger.info({ cycle, big: 10n });
    logger.info({
      get broken() {
        throw new Error(secret);
      },
    });
    expect(lines).toHaveLength(2);
    expect(lines.join("")).not.toContain(secret);
  });

  it("changes the level of children made before when its own changes", () => {
    const { logger, lines } = capture({ level: "warn" });
    const child = logger.child({ part: "a" }).child({ part: "b" });
    child.info("not written");
    logger.level = "info";
    child.info("written");
    logger.level = "error";
    child.warn("not written");
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(["written"]);
  });

  it("writes pretty lines that leak nothing either", () => {
    const { logger, lines } = capture({ format: "pretty" });
    logger.warn({ access_token: secret, section: "example" }, `Bearer ${secret}`);
    expect(lines.join("")).toContain("WARN");
    expect(lines.join("")).toContain('section: "example"');
    expect(lines.join("")).not.toContain(secret);
  });

  it("lets no text from elsewhere write to the terminal or look like a line of its own", () => {
    const { logger, lines } = capture({ format: "pretty" });
    logger.warn({ name: "\u001b[2Jx\u0007\u009b" }, "hello\n[12:00:00] ERROR: forged\u001b[31m\r");
    const text = lines.join("");
    // eslint-disable-next-line no-control-regex -- control characters are what this is about
    expect(text).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
    expect(text.split("\n").filter((line) => line.startsWith("["))).toHaveLength(1);
    expect(text).toContain("hello | [12:00:00] ERROR: forged");
  });

  it("writes JSON for auto where it does not write to a terminal", () => {
    const { logger, parsed } = capture({ format: "auto" });
    logger.info("hello");
    expect(parsed()[0]).toMatchObject({ msg: "hello" });
  });
});

describe("redactUrl", () => {
  it("keeps the path and harmless parameters, and only the names of the others", () => {
    expect(redactUrl(`/_matrix/client/v3/sync?timeout=30000&since=s1&access_token=${secret}`)).toBe(
      "/_matrix/client/v3/sync?timeout=30000&since=...&access_token=...",
    );
  });

  it("drops values without a name and tokens in the path", () => {
    expect(redactUrl(`/a/${token}?${token}&=${secret}`)).toBe("/a/[redacted]?[redacted]=...&=...");
  });

  it("drops what follows a second question mark", () => {
    expect(redactUrl(`/a?limit=1?access_token=${secret}`)).not.toContain(secret);
  });
});
