import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** A proxy that runs already, in front of the stub's port. */
export interface GivenProxy {
  readonly name: string;
  readonly url: string;
  /** For processor time and memory; null where they are not measured. */
  readonly pid: number | null;
}

/** What to measure, and how often. */
export interface BenchOptions {
  readonly proxies: readonly GivenProxy[];
  /** Builds to start daemons of, where no proxy is given. */
  readonly programs: readonly string[];
  readonly freshness: readonly ("barrier" | "stream")[];
  readonly nodeArguments: readonly string[];
  readonly stubPort: number;
  readonly rounds: number;
  readonly gets: number;
  readonly getsInFlight: number;
  readonly sends: number;
  readonly events: number;
  readonly eventsPerSession: number;
  readonly recipients: number;
  /** Part of a row's name; null for all rows. */
  readonly only: string | null;
}

/** Shown by `--help`. */
export const USAGE = `usage: node dist/bench/main.js [options]

Without --proxy it starts daemons of its own, one for each --freshness. With --proxy, that proxy must have
http://127.0.0.1:STUBPORT as its homeserver (start it when the benchmark says that the stub listens, or before).

  --proxy URL[,PID]     a proxy to measure, may be repeated; with its PID processor time and memory too
  --stub-port N         port of the stub homeserver (default 0: any; 8009 with --proxy)
  --program FILE        a build's dist/cli/main.js to start, may be repeated to compare builds
  --freshness WHICH     barrier or stream, may be repeated (default both)
  --node-argument ARG   for the daemons' node, may be repeated, such as --node-argument=--cpu-prof
  --rounds N            interleaved rounds, of which the median is printed (default 5)
  --gets N              GET requests a round (default 4000), --gets-in-flight N at once (default 32)
  --sends N             sends a round and row (default 500)
  --events N            events of a backlog (default 1000), --events-per-session N (default 100)
  --recipients N        encrypted members of the rooms besides us (default 1)
  --only TEXT           only rows whose name contains this`;

/** @throws Error for an unknown option or a number that is none */
export function readOptions(args: readonly string[]): BenchOptions | "help" {
  const text = { type: "string" } as const;
  const texts = { type: "string", multiple: true } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: "boolean", short: "h" },
      proxy: texts,
      "stub-port": text,
      program: texts,
      freshness: texts,
      "node-argument": texts,
      rounds: text,
      gets: text,
      "gets-in-flight": text,
      sends: text,
      events: text,
      "events-per-session": text,
      recipients: text,
      only: text,
    },
  });
  if (values.help === true) return "help";
  const number = (
    name:
      | "stub-port"
      | "rounds"
      | "gets"
      | "gets-in-flight"
      | "sends"
      | "events"
      | "events-per-session"
      | "recipients",
    otherwise: number,
    most: number,
  ): number => {
    const value = Number(values[name] ?? otherwise);
    if (Number.isInteger(value) && value >= 0 && value <= most) return value;
    throw new Error(`--${name}: expected a whole number up to ${most}, got ${values[name] ?? ""}`);
  };
  const proxies = (values.proxy ?? []).map(readProxy);
  return {
    proxies,
    programs: values.program ?? [fileURLToPath(new URL("../cli/main.js", import.meta.url))],
    freshness: (values.freshness ?? ["barrier", "stream"]).map(readFreshness),
    nodeArguments: values["node-argument"] ?? [],
    stubPort: number("stub-port", proxies.length === 0 ? 0 : 8009, 65_535),
    rounds: number("rounds", 5, 100),
    gets: number("gets", 4000, 1_000_000),
    getsInFlight: number("gets-in-flight", 32, 1000),
    sends: number("sends", 500, 100_000),
    events: number("events", 1000, 10_000),
    eventsPerSession: number("events-per-session", 100, 10_000),
    recipients: Math.max(1, number("recipients", 1, 1000)),
    only: values.only ?? null,
  };
}

function readProxy(text: string): GivenProxy {
  const [url = "", pid] = text.split(",");
  const { hostname, host, origin } = new URL(url);
  if (!["127.0.0.1", "localhost", "[::1]"].includes(hostname)) {
    throw new Error(`--proxy: expected a URL on this machine, got ${url}`);
  }
  return { name: host, url: origin, pid: pid === undefined ? null : Number(pid) };
}

function readFreshness(text: string): "barrier" | "stream" {
  if (text === "barrier" || text === "stream") return text;
  throw new Error(`--freshness: expected barrier or stream, got ${text}`);
}
