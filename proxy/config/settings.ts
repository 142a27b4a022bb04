/** What the engine's log level may be, from quiet to loud; the names are pino's. */
export type LogLevel = "error" | "warn" | "info" | "debug";

/** How log lines look: `auto` is pretty on a terminal and JSON elsewhere. */
export type LogFormat = "auto" | "json" | "pretty";

/**
 * Which devices of other people receive room keys.
 *
 * - `all`: every device;
 * - `tofu`: every device, until a user's verified identity changes;
 * - `cross-signed`: devices that their owner has signed;
 * - `verified`: devices that were verified explicitly; a send to a room with others is refused.
 */
export type Trust = "all" | "tofu" | "cross-signed" | "verified";

/**
 * How fresh device lists and members are before a send: `barrier` asks the homeserver before every
 * send, `stream` relies on what /sync has delivered.
 */
export type Freshness = "barrier" | "stream";

/**
 * Where the 32-byte master key of a section's store comes from. `generationPath` is the file, kept
 * apart from the store, whose number shows that an older store was put back.
 */
export type StoreKeySource =
  | { readonly kind: "file"; readonly path: string; readonly generationPath: string }
  | { readonly kind: "env"; readonly variable: string; readonly generationPath: string }
  | { readonly kind: "systemd"; readonly credential: string; readonly generationPath: string }
  | { readonly kind: "keyring"; readonly account: string; readonly generationPath: string };

/** One homeserver section of the configuration file. All paths are absolute. */
export interface SectionSettings {
  /** The section's name as written in brackets. */
  readonly name: string;
  /** Base URL of the client-server API, perhaps with a path; never has a query or credentials. */
  readonly homeserver: URL;
  /** An IP address, never a name. */
  readonly listenAddress: string;
  /** 0 means any free port. */
  readonly listenPort: number;
  readonly tls: { readonly verify: boolean };
  /** HTTP proxy towards the homeserver; may carry credentials, so never log it. */
  readonly upstreamProxy: URL | null;
  readonly trust: Trust;
  readonly freshness: Freshness;
  readonly sendDeadlineMs: number;
  readonly lateKeyTimeoutMs: number;
  /** For the homeserver to begin its answer; a long poll's own timeout comes on top. */
  readonly upstreamTimeoutMs: number;
  readonly markDecrypted: boolean;
  /** Clients do not see that a room is encrypted. */
  readonly hideEncryption: boolean;
  /** Room id patterns (`*` stands for any run of characters); see `matchesRoomPattern`. */
  readonly requireEncryption: readonly string[];
  /** This section's own directory, not shared with another section. */
  readonly dataDirectory: string;
  readonly storeKey: StoreKeySource;
}

/** A sentence that the operator reads once at start: what was understood differently than it may seem. */
export interface Notice {
  /** `warn` where something asked for does not happen or is unsafe, `info` otherwise. */
  readonly level: "info" | "warn";
  readonly message: string;
}

/** The whole configuration, valid and complete. */
export interface Settings {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Worker threads for cryptography; 0 runs it on the main thread. */
  readonly threads: number;
  /** At least one; names and listening addresses differ. */
  readonly sections: readonly SectionSettings[];
  readonly notices: readonly Notice[];
}

/**
 * Whether a room id matches one of the patterns of `RequireEncryption`.
 *
 * @param patterns - room ids in which `*` stands for any run of characters
 */
export function matchesRoomPattern(patterns: readonly string[], roomId: string): boolean {
  return patterns.some((pattern) => globMatches(pattern, roomId));
}

// A regular expression made from the pattern could be made to backtrack for seconds; this is linear.
function globMatches(pattern: string, text: string): boolean {
  const parts = pattern.split("*");
  const first = parts[0] ?? "";
  const last = parts.at(-1) ?? "";
  if (parts.length === 1) return pattern === text;
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  if (text.length < first.length + last.length) return false;
  const middle = text.slice(first.length, text.length - last.length);
  let from = 0;
  for (const part of parts.slice(1, -1)) {
    const at = middle.indexOf(part, from);
    if (at === -1) return false;
    from = at + part.length;
  }
  return true;
}
