import { isIP } from "node:net";

import { closest, quote } from "./problems.ts";

/** A value that is not allowed; the message says what was expected and what was got. */
export class BadValue extends Error {
  override readonly name = "BadValue";
  readonly hint: string | null;

  constructor(message: string, hint: string | null = null) {
    super(message);
    this.hint = hint;
  }
}

/** How values of one kind are written. */
export interface ValueType<T> {
  /** What is allowed, for the documentation and for errors: "a whole number from 0 to 64". */
  readonly allowed: string;
  /** @throws BadValue */
  readonly parse: (text: string) => T;
}

function expected(allowed: string, text: string): string {
  if (text === "") return `expected ${allowed}, got nothing`;
  return `expected ${allowed}, got ${quote(text)}`;
}

// configparser takes "; ..." behind a value as part of the value, which surprises everybody once.
function refuse(allowed: string, text: string, hint: string | null = null): never {
  const comment = /\s[#;]/.test(text) ? "a comment needs a line of its own" : null;
  throw new BadValue(expected(allowed, text), hint ?? comment);
}

const booleans = new Map([
  ...["1", "yes", "true", "on"].map((word) => [word, true] as const),
  ...["0", "no", "false", "off"].map((word) => [word, false] as const),
]);

/** Yes or no, in the words of Python's configparser. */
export const yesNo: ValueType<boolean> = {
  allowed: "Yes or No (True or False, On or Off, 1 or 0)",
  parse: (text) => booleans.get(text.toLowerCase()) ?? refuse(yesNo.allowed, text),
};

/** A whole number within a range, both ends included. */
export function wholeNumber(minimum: number, maximum: number): ValueType<number> {
  const allowed = `a whole number from ${minimum} to ${maximum}`;
  return {
    allowed,
    parse: (text) => {
      const value = /^\+?\d+(_\d+)*$/.test(text) ? Number(text.replaceAll("_", "")) : NaN;
      return value >= minimum && value <= maximum ? value : refuse(allowed, text);
    },
  };
}

/** A whole number within a range, or a word that stands for null. */
export function wholeNumberOr(word: string, number: ValueType<number>): ValueType<number | null> {
  const allowed = `${word}, or ${number.allowed}`;
  return {
    allowed,
    parse: (text) => {
      if (text.toLowerCase() === word) return null;
      try {
        return number.parse(text);
      } catch {
        return refuse(allowed, text);
      }
    },
  };
}

/** One of some words, whatever the letter case. */
export function oneOf<const T extends string>(
  words: Readonly<Record<string, T>>,
  shown: readonly string[] = Object.keys(words),
): ValueType<T> {
  const meanings = new Map(Object.entries(words));
  const allowed = `one of ${shown.join(", ")}`;
  return {
    allowed,
    parse: (text) => {
      const value = meanings.get(text.toLowerCase());
      if (value !== undefined) return value;
      const near = closest(text, shown);
      return refuse(allowed, text, near === null ? null : `did you mean ${near}?`);
    },
  };
}

const unitsMs = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/** A duration in milliseconds within a range, written `500ms`, `4s`, `2m`, `1h`, or as plain milliseconds. */
export function duration(minimumMs: number, maximumMs: number): ValueType<number> {
  const allowed = `a duration from ${formatDuration(minimumMs)} to ${formatDuration(maximumMs)}`;
  return {
    allowed,
    parse: (text) => {
      const match = /^(\d{1,12}(?:\.\d{1,3})?)\s*(ms|s|m|h|)$/.exec(text.toLowerCase());
      const factor = unitsMs.get(match?.[2] === "" ? "ms" : (match?.[2] ?? ""));
      const value = factor === undefined ? NaN : Number(match?.[1]) * factor;
      if (value >= minimumMs && value <= maximumMs) return Math.round(value);
      const hasUnit = match !== null && match[2] !== "";
      const hint = hasUnit ? null : "write 500ms, 4s, 2m or 1h; a plain number is milliseconds";
      return refuse(allowed, text, hint);
    },
  };
}

/** Writes milliseconds in the largest unit that divides them. */
export function formatDuration(durationMs: number): string {
  for (const [unit, factor] of [...unitsMs].reverse()) {
    if (durationMs !== 0 && durationMs % factor === 0) return `${durationMs / factor}${unit}`;
  }
  return `${durationMs}ms`;
}

/** The http(s) base URL of a homeserver's client-server API: no query, fragment or credentials, and no `/_matrix`. */
export const baseUrl: ValueType<URL> = {
  allowed: "an http or https URL such as https://matrix.example.org",
  parse: (text) => {
    const url = parseHttpUrl(text, baseUrl.allowed);
    if (url.username !== "" || url.password !== "") {
      throw new BadValue(`expected ${baseUrl.allowed}, got one with a user name or password`);
    }
    if (`${url.pathname}/`.includes("/_matrix/")) {
      return refuse(baseUrl.allowed, text, "leave out /_matrix and what follows");
    }
    if (url.search !== "" || url.hash !== "") return refuse(baseUrl.allowed, text);
    return url;
  },
};

/** An http(s) URL of a proxy, which may carry a user name and a password. */
export const proxyUrl: ValueType<URL> = {
  allowed: "an http or https URL of a proxy, such as http://localhost:8080",
  parse: (text) => {
    const url = parseHttpUrl(text, proxyUrl.allowed);
    if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
      return refuse(proxyUrl.allowed, withoutCredentials(text));
    }
    return url;
  },
};

function parseHttpUrl(text: string, allowed: string): URL {
  let url: URL | null = null;
  // The URL parser would take "http:host", and drop tabs and newlines.
  if (/^https?:\/\/[^\s\\]+$/i.test(text)) {
    try {
      url = new URL(text);
    } catch {
      url = null;
    }
  }
  const hint = /^[a-z0-9.-]+(:\d+)?$/i.test(text) ? `did you mean https://${text}?` : null;
  return url ?? refuse(allowed, withoutCredentials(text), hint);
}

function withoutCredentials(text: string): string {
  return text.includes("@") ? `...${text.slice(text.lastIndexOf("@"))}` : text;
}

/** An IP address; `localhost` is 127.0.0.1, as in pantalaimon. */
export const ipAddress: ValueType<string> = {
  allowed: "localhost or an IP address",
  parse: (text) => {
    if (text.toLowerCase() === "localhost") return "127.0.0.1";
    // A zone (fe80::1%eth0) is of no use on loopback, and net.isIP would take it.
    return isIP(text) !== 0 && !text.includes("%") ? text : refuse(ipAddress.allowed, text);
  },
};

/** Whether an IP address is reachable from this machine only. */
export function isLoopback(address: string): boolean {
  return /^(::ffff:)?127\./i.test(address) || new URL(urlOf(address)).hostname === "[::1]";
}

/** The URL of an HTTP server on an IP address. */
export function urlOf(address: string, port?: number): string {
  const host = isIP(address) === 6 ? `[${address}]` : address;
  return port === undefined ? `http://${host}` : `http://${host}:${port}`;
}

/** A path that does not depend on the working directory; `~/` is the home directory. */
export const filePath: ValueType<string> = {
  allowed: "an absolute path, or one that begins with ~/",
  parse: (text) => (/^(\/|~\/)[^\0\n]*$/.test(text) ? text : refuse(filePath.allowed, text)),
};

/** Room id patterns between spaces, commas or lines. */
export const roomPatterns: ValueType<readonly string[]> = {
  allowed:
    'room ids between spaces, "*" stands for any characters (!room:example.org *:example.org)',
  parse: (text) => {
    const patterns = text.split(/[\s,]+/).filter((pattern) => pattern !== "");
    for (const pattern of patterns) {
      if (pattern.startsWith("#")) {
        const hint =
          "an alias can be moved to another room: write the room's id, which begins with !";
        refuse(roomPatterns.allowed, pattern, hint);
      }
      if (!/^[!*]/.test(pattern)) refuse(roomPatterns.allowed, pattern);
    }
    return patterns;
  },
};

/** Where a key is kept, as written; paths are not yet expanded. */
export type StoreKeyText =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "env"; readonly variable: string }
  | { readonly kind: "systemd"; readonly credential: string }
  | { readonly kind: "keyring"; readonly account: string };

/** `file:PATH`, `env:NAME`, `systemd:NAME` or `keyring:NAME`. What was got is never shown: it may be a key. */
export const storeKey: ValueType<StoreKeyText> = {
  allowed: "file:PATH, env:NAME, systemd:NAME or keyring:NAME",
  parse: (text) => {
    const [, kind = "", rest = ""] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
    if (kind === "file" && /^(\/|~\/)[^\0\n]*[^/\n]$/.test(rest)) return { kind, path: rest };
    if (kind === "file") throw new BadValue(`expected file: and ${filePath.allowed}`);
    if (kind === "env" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(rest)) return { kind, variable: rest };
    if (kind === "env") throw new BadValue("expected env: and the name of an environment variable");
    if (kind === "systemd" && /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(rest)) {
      return { kind, credential: rest };
    }
    if (kind === "systemd") throw new BadValue("expected systemd: and the name of a credential");
    if (kind === "keyring" && /^[^\p{C}]{1,255}$/u.test(rest)) return { kind, account: rest };
    if (kind === "keyring") throw new BadValue("expected keyring: and the name of an entry");
    throw new BadValue(
      `expected ${storeKey.allowed} (what was got is not shown, it may be a key)`,
      "a key never stands in the configuration: put it into a file and write file:PATH",
    );
  },
};
