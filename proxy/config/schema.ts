import type { ValueType } from "./values.ts";
import {
  duration,
  filePath,
  ipAddress,
  oneOf,
  baseUrl,
  proxyUrl,
  roomPatterns,
  storeKey,
  wholeNumber,
  wholeNumberOr,
  yesNo,
} from "./values.ts";

/** One key of the configuration file. */
export interface Option<T> {
  /**
   * `global` keys stand in `[Default]` only; `section` keys in a homeserver's section, or in
   * `[Default]` for all of them.
   */
  readonly scope: "global" | "section";
  /** Whose key it is: pantalaimon's keys mean what they mean there. */
  readonly origin: "pantalaimon" | "kirjava";
  readonly type: ValueType<T>;
  /** As one would write it; null where there is none, and `defaultNote` says what happens. */
  readonly default: string | null;
  /** What stands in the documentation where `default` is null. */
  readonly defaultNote?: string;
  /** One or two sentences for the operator. */
  readonly doc: string;
}

function option<T>(o: Option<T>): Option<T> {
  return o;
}

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

/** Name of the section that the others inherit from, as in pantalaimon. */
export const defaultSection = "Default";

/**
 * Every key of the configuration file, by its documented name. Reading, errors, documentation and
 * the example file are all made from this.
 */
export const schema = {
  LogLevel: option({
    scope: "global",
    origin: "pantalaimon",
    type: oneOf({ error: "error", warning: "warn", warn: "warn", info: "info", debug: "debug" }, [
      "error",
      "warning",
      "info",
      "debug",
    ]),
    default: "info",
    doc: "How much is logged. Reloaded on SIGHUP. No level logs tokens, keys or messages.",
  }),
  LogFormat: option({
    scope: "global",
    origin: "kirjava",
    type: oneOf({ auto: "auto", json: "json", pretty: "pretty" }),
    default: "auto",
    doc: "How log lines look: auto is pretty on a terminal and JSON elsewhere.",
  }),
  DebugEncryption: option({
    scope: "global",
    origin: "pantalaimon",
    type: yesNo,
    default: "No",
    doc: "Yes sets LogLevel to debug: there is one log level for all parts.",
  }),
  Notifications: option({
    scope: "global",
    origin: "pantalaimon",
    type: yesNo,
    default: "Off",
    doc: "Accepted for pantalaimon's sake. There are no desktop notifications; what needs attention is in the log and in the answer to the client.",
  }),
  Threads: option({
    scope: "global",
    origin: "kirjava",
    type: wholeNumberOr("auto", wholeNumber(0, 64)),
    default: "auto",
    doc: "Worker threads for cryptography. auto takes one for each processor, at most 4; 0 works without threads.",
  }),
  Homeserver: option({
    scope: "section",
    origin: "pantalaimon",
    type: baseUrl,
    default: null,
    defaultNote: "required",
    doc: "The homeserver to forward to: the base URL of its client-server API.",
  }),
  ListenAddress: option({
    scope: "section",
    origin: "pantalaimon",
    type: ipAddress,
    default: "localhost",
    doc: "The address to listen on. It must be a loopback address: what crosses it is not encrypted.",
  }),
  UnsafeListenAddress: option({
    scope: "section",
    origin: "kirjava",
    type: ipAddress,
    default: null,
    defaultNote: "none",
    doc: "Listens on any address, in the place of ListenAddress. Tokens and decrypted messages cross that network in the clear: only for a private network or container, never for the internet.",
  }),
  ListenPort: option({
    scope: "section",
    origin: "pantalaimon",
    type: wholeNumber(0, 65535),
    default: "8009",
    doc: "The port to listen on. Sections on one address need different ports. 0 takes any free port.",
  }),
  Proxy: option({
    scope: "section",
    origin: "pantalaimon",
    type: proxyUrl,
    default: null,
    defaultNote: "none",
    doc: "HTTP proxy for requests to the homeserver. Proxies of the environment are not used.",
  }),
  SSL: option({
    scope: "section",
    origin: "pantalaimon",
    type: yesNo,
    default: "True",
    doc: "Whether the homeserver's TLS certificate is verified.",
  }),
  UpstreamTimeout: option({
    scope: "section",
    origin: "kirjava",
    type: duration(second, 10 * minute),
    default: "60s",
    doc: "How long the homeserver may take to begin an answer; then the client gets a 504. The timeout that a client asks for in /sync comes on top.",
  }),
  IgnoreVerification: option({
    scope: "section",
    origin: "pantalaimon",
    type: yesNo,
    default: null,
    defaultNote: "True",
    doc: "True sends room keys to all devices (Trust = all), an explicit False to verified devices only (Trust = verified).",
  }),
  Trust: option({
    scope: "section",
    origin: "kirjava",
    type: oneOf({
      all: "all",
      tofu: "tofu",
      "cross-signed": "cross-signed",
      verified: "verified",
    }),
    default: null,
    defaultNote: "as IgnoreVerification says",
    doc: "Which devices receive room keys: all; tofu, all until a user's verified identity changes; cross-signed, those that their owner signed; verified, those verified explicitly: a send to a room with others is refused.",
  }),
  RequireEncryption: option({
    scope: "section",
    origin: "kirjava",
    type: roomPatterns,
    default: "",
    defaultNote: "no rooms",
    doc: "Rooms that never carry plaintext, whatever the homeserver says about them: room ids between spaces, * stands for any characters.",
  }),
  Freshness: option({
    scope: "section",
    origin: "kirjava",
    type: oneOf({ barrier: "barrier", stream: "stream" }),
    default: "barrier",
    doc: "barrier asks the homeserver before every send which devices and members are new, so that the newest can read it; stream relies on /sync and is faster.",
  }),
  SendDeadline: option({
    scope: "section",
    origin: "kirjava",
    type: duration(100, minute),
    default: "4s",
    doc: "How long a send waits for the devices of servers that do not answer; after that they get the key with the next message.",
  }),
  LateKeyTimeout: option({
    scope: "section",
    origin: "kirjava",
    type: duration(0, 24 * hour),
    default: "30s",
    doc: "How long a message whose key has not come is kept back, counted from when it was first seen; then the client gets it as it is, encrypted.",
  }),
  MarkDecrypted: option({
    scope: "section",
    origin: "kirjava",
    type: yesNo,
    default: "Yes",
    doc: 'Whether decrypted events carry "decrypted" and "verified" at their top level, which matrix-appservice-bridge waits for.',
  }),
  HideEncryption: option({
    scope: "section",
    origin: "kirjava",
    type: yesNo,
    default: "No",
    doc: "Whether clients are kept from seeing that a room is encrypted: for clients that refuse to send to an encrypted room (matrix-js-sdk), and bridges that leave one.",
  }),
  DataDirectory: option({
    scope: "section",
    origin: "kirjava",
    type: filePath,
    default: null,
    defaultNote: "$XDG_DATA_HOME/kirjava, else ~/.local/share/kirjava",
    doc: "Where stores are kept, each section in a directory of its own name below it.",
  }),
  StoreKey: option({
    scope: "section",
    origin: "kirjava",
    type: storeKey,
    default: null,
    defaultNote: "file:$XDG_CONFIG_HOME/kirjava/SECTION.key, else below ~/.config",
    doc: "Where the master key of the stores comes from. A file is made on first start with mode 0600 and must be outside of DataDirectory: whoever has both reads everything.",
  }),
  UseKeyring: option({
    scope: "section",
    origin: "pantalaimon",
    type: yesNo,
    default: null,
    defaultNote: "No",
    doc: "Yes keeps the master key in the keyring of the desktop, under the section's name (StoreKey = keyring:SECTION).",
  }),
  GenerationFile: option({
    scope: "section",
    origin: "kirjava",
    type: filePath,
    default: null,
    defaultNote: "beside the key's file, else $XDG_CONFIG_HOME/kirjava/SECTION.generation",
    doc: "Where the number is kept that shows that an old copy of the store was put back. It must be outside of DataDirectory.",
  }),
  DropOldKeys: option({
    scope: "section",
    origin: "pantalaimon",
    type: yesNo,
    default: "No",
    doc: "Accepted for pantalaimon's sake. Yes has no effect yet: old room keys are kept.",
  }),
  SearchRequests: option({
    scope: "section",
    origin: "pantalaimon",
    type: yesNo,
    default: "Off",
    doc: "Accepted for pantalaimon's sake. There is no search index: searches go to the homeserver, which finds nothing in encrypted rooms.",
  }),
  IndexEncryptedOnly: option({
    scope: "section",
    origin: "pantalaimon",
    type: yesNo,
    default: "True",
    doc: "Accepted for pantalaimon's sake, without effect: there is no search index.",
  }),
  IndexingBatchSize: option({
    scope: "section",
    origin: "pantalaimon",
    type: wholeNumber(2, 1000),
    default: "100",
    doc: "Accepted for pantalaimon's sake, without effect: there is no search index.",
  }),
  HistoryFetchDelay: option({
    scope: "section",
    origin: "pantalaimon",
    type: wholeNumber(101, 10000),
    default: "3000",
    doc: "Accepted for pantalaimon's sake, without effect: there is no search index. In milliseconds.",
  }),
} as const;

/** Documented name of a key. */
export type OptionName = keyof typeof schema;

/** Type that the values of a key are read as. */
export type OptionValue<K extends OptionName> =
  (typeof schema)[K] extends Option<infer T> ? T : never;

/** All keys in documented order. */
export const optionNames = Object.keys(schema) as OptionName[];

const namesByLowerCase = new Map(optionNames.map((name) => [name.toLowerCase(), name]));

/** The documented name of a key, whatever its letter case; null for an unknown one. */
export function findOption(key: string): OptionName | null {
  return namesByLowerCase.get(key.toLowerCase()) ?? null;
}
