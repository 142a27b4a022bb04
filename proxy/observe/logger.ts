import type { IncomingMessage, ServerResponse } from "node:http";

import type { DestinationStream, LogFn, Logger } from "pino";
import { destination, pino, stdTimeFunctions } from "pino";
import prettyModule from "pino-pretty";

import { MatrixError } from "../matrix/errors.ts";
import { redactText, redactValue } from "./redact.ts";

/** What a logger writes and how. */
export interface LoggerOptions {
  readonly level: "error" | "warn" | "info" | "debug" | "silent";
  /** `auto` is pretty where standard error is a terminal, JSON elsewhere. */
  readonly format: "auto" | "json" | "pretty";
  /** Takes the finished lines instead of standard error. */
  readonly stream?: DestinationStream;
}

/**
 * The logger of the whole process, to standard error. Every finished line passes one filter on its
 * way out (`redactValue`), whatever was given to the logger, its children or their serialisers, so that
 * no call site can leak a token, a key or a message. Change `logger.level` to change the level.
 */
export function createLogger(o: LoggerOptions): Logger {
  const stream = o.stream ?? standardError();
  const isPretty =
    o.format === "pretty" ||
    (o.format === "auto" && o.stream === undefined && process.stderr.isTTY);
  return pino(
    {
      level: o.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: {
        err: (error: unknown) => describeError(error),
        error: (error: unknown) => describeError(error),
        req: describeRequest,
        res: describeAnswer,
      },
      hooks: { streamWrite: redactLine, logMethod: writeSafely },
    },
    isPretty ? prettyStream(stream, o.stream === undefined) : stream,
  );
}

// Written at once: what a daemon said just before it died is what the operator needs most.
function standardError(): DestinationStream {
  return destination({ dest: 2, sync: true });
}

function prettyStream(stream: DestinationStream, colorize: boolean): DestinationStream {
  const format = prettyModule.prettyFactory({ colorize, ignore: "pid,hostname" });
  return {
    write: (line) => {
      stream.write(format(line));
    },
  };
}

// A getter or toJSON of a logged object may throw: a log line is no reason to fail.
function writeSafely(this: Logger, args: Parameters<LogFn>, method: LogFn): void {
  try {
    method.apply(this, args);
  } catch {
    method.call(this, "a log line could not be written: what it shows throws");
  }
}

function redactLine(line: string): string {
  try {
    const clean = redactValue(JSON.parse(line)) as Record<string, unknown>;
    // A message is one line in pretty form as well, so that nobody's text can look like another line.
    if (typeof clean["msg"] === "string") clean["msg"] = clean["msg"].replace(/\s*\n\s*/g, " | ");
    return `${JSON.stringify(clean)}\n`;
  } catch {
    return `{"level":"error","msg":"a log line could not be read and was left out"}\n`;
  }
}

/** The members of an error that help, and no others: libraries hang requests and bodies on theirs. */
export function describeError(error: unknown, depth = 0, withStack = true): unknown {
  if (!(error instanceof Error)) return error;
  const members: Record<string, unknown> = { type: error.name, message: redactText(error.message) };
  for (const name of ["code", "errcode", "statusCode", "path", "syscall", "address", "port"]) {
    const value: unknown = Reflect.get(error, name);
    if (typeof value === "string" || typeof value === "number") members[name] = value;
  }
  // An answer to a client, such as "the homeserver cannot be reached", is no mistake to be looked for.
  const isAnswer = error instanceof MatrixError;
  const hasStack = withStack && !isAnswer;
  if (hasStack && error.stack !== undefined) members["stack"] = describeStack(error.stack);
  if (depth < 4) {
    if (error.cause !== undefined)
      members["cause"] = describeError(error.cause, depth + 1, hasStack);
    if (error instanceof AggregateError) {
      const errors = error.errors.slice(0, 5);
      members["errors"] = errors.map((each) => describeError(each, depth + 1, hasStack));
    }
  }
  return members;
}

// The message comes first in a stack and may have any number of lines; it is already a member.
function describeStack(stack: string): string {
  const frames = stack.split("\n").filter((line) => /^\s+at /.test(line));
  return frames.slice(0, 12).join("\n");
}

function describeRequest(request: unknown): unknown {
  const { method, url } = (request ?? {}) as Partial<IncomingMessage>;
  return { method, url: typeof url === "string" ? redactUrl(url) : undefined };
}

function describeAnswer(answer: unknown): unknown {
  const { statusCode } = (answer ?? {}) as Partial<ServerResponse>;
  return { statusCode };
}

const harmlessParameters = new Set([
  "timeout",
  "limit",
  "dir",
  "full_state",
  "set_presence",
  "ts",
  "user_id",
  "device_id",
]);

/** A request's path and query, fit for a log: of unknown query parameters only the names are kept. */
export function redactUrl(url: string): string {
  const [path = "", query] = url.split("?", 2);
  if (query === undefined) return redactText(path);
  const parameters = query.split("&").map((parameter) => {
    const name = parameter.split("=", 1)[0] ?? "";
    return harmlessParameters.has(name) ? redactText(parameter) : `${redactText(name)}=...`;
  });
  return `${redactText(path)}?${parameters.join("&")}`;
}
