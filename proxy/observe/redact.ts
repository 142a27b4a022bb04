/** Stands where something secret stood. */
export const redacted = "[redacted]";

const maxTextLength = 2000;
const maxDepth = 8;
const maxMembers = 60;

// Names of secrets, compared without case and punctuation. A name that ends in one counts as well.
const secretEndings = [
  "token",
  "secret",
  "password",
  "passwd",
  "passphrase",
  "authorization",
  "cookie",
  "setcookie",
  "credential",
  "credentials",
  "privatekey",
  "recoverykey",
  "masterkey",
  "storekey",
  "sessionkey",
  "roomkey",
  "filekey",
  "pickle",
  "pickledsession",
  "apikey",
];
const secretNames = new Set([
  "key",
  "k",
  "auth",
  "jwk",
  "mac",
  "iv",
  "pin",
  "seed",
  "codeverifier",
]);

// Names of what people write, which may be long, nested and anything.
const contentNames = new Set([
  "body",
  "formattedbody",
  "content",
  "newcontent",
  "prevcontent",
  "plaintext",
  "cleartext",
  "ciphertext",
  "payload",
  "rawbody",
  "chunk",
  "filename",
  "displayname",
  "topic",
]);

type NameKind = "secret" | "content" | "plain";

// Call sites use the same few names for ever; a name from elsewhere must not fill the memory.
const knownNames = new Map<string, NameKind>();
const maxKnownNames = 1000;

function kindOfName(name: string): NameKind {
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  const plain = name.toLowerCase().replace(/[^a-z0-9]/g, "");
  let kind: NameKind = contentNames.has(plain) ? "content" : "plain";
  if (secretNames.has(plain) || secretEndings.some((ending) => plain.endsWith(ending))) {
    kind = "secret";
  }
  if (knownNames.size < maxKnownNames && name.length < 64) knownNames.set(name, kind);
  return kind;
}

/**
 * Copies a value as parsed from JSON without what is secret in it: members named like secrets or like
 * message content, bytes written as numbers, and what `redactText` finds in texts. Depth and size are
 * bounded.
 */
export function redactValue(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value !== "object" || value === null) return value;
  const bytes = countBytes(value);
  if (bytes !== null) return `[${bytes} bytes]`;
  if (depth >= maxDepth) return "[nested too deep]";
  if (Array.isArray(value)) {
    const items = value.slice(0, maxMembers).map((item) => redactValue(item, depth + 1));
    if (value.length > maxMembers) items.push(`[${value.length - maxMembers} more]`);
    return items;
  }
  const members = Object.entries(value);
  const copy = members.slice(0, maxMembers).map(([name, member]) => {
    return [redactText(name), redactMember(name, member, depth)] as const;
  });
  // fromEntries defines own properties, so that a member named __proto__ stays a member.
  return Object.fromEntries(copy);
}

function redactMember(name: string, member: unknown, depth: number): unknown {
  if (member === null || typeof member === "boolean") return member;
  const kind = kindOfName(name);
  if (kind === "secret") return redacted;
  if (kind === "content") return typeof member === "number" ? member : redacted;
  return redactValue(member, depth + 1);
}

// How JSON shows a Buffer, a typed array and an array of bytes. Few small numbers may be anything else.
function countBytes(value: object): number | null {
  const data: unknown = "type" in value && "data" in value ? value.data : value;
  const items: unknown[] = Array.isArray(data) ? data : Object.values(data ?? {});
  if (items.length < 8) return null;
  const isBytes = items.every(
    (item) => typeof item === "number" && Number.isInteger(item) && item >= 0 && item <= 255,
  );
  const isList =
    Array.isArray(data) || Object.keys(data ?? {}).every((key, i) => key === String(i));
  return isBytes && isList ? items.length : null;
}

// "name=value", "name: value" and '"name":"value"' in running text; a value in quotes may hold escapes.
const assignment =
  /((?:token|secret|password|passwd|passphrase|authorization|cookie|private[-_]?key|recovery[-_]?key|(?:master|store|session|room|file|api)[-_]?key|pickle(?:d_session)?))(\\?["']?\s*(?:=|:|%3D)\s*)(\\?"(?:[^"\\]|\\.)*"?|\\?'[^']*'?|[^\s&,;"'}\])]+)/gi;
const contentMember =
  /(\\?"(?:body|formatted_body|content|plaintext|ciphertext|k|key)\\?"\s*:\s*)(\\?"(?:[^"\\]|\\.)*"?|[{[][\s\S]*)/g;
const scheme = /\b(Bearer|Basic|X-Matrix)(\s+|%20|\+)[^\s"',;]+/gi;
const userInfo = /(:\/\/)[^\s/@]{1,1000}@/g;
// Access, refresh, login and registration tokens of Synapse and of the Matrix Authentication Service.
const knownToken = /\b(?:sy[trl]|m[acu][tar])_[A-Za-z0-9_=+/-]{4,}/g;
const recoveryKey =
  /\bE[a-km-zA-HJ-NP-Z1-9]{3}(?:[ -]?[a-km-zA-HJ-NP-Z1-9]{4}){9,}[a-km-zA-HJ-NP-Z1-9]{0,4}/g;
const armour = /-----BEGIN [A-Z0-9 ]+-----[\s\S]*?(?:-----END [A-Z0-9 ]+-----|$)/g;
// What a terminal would obey: a name or error text from elsewhere must not write to the operator's screen.
const control = /[^\P{Cc}\n\t]/gu;
// V8 quotes the text that JSON.parse could not read, and that text is somebody's.
const jsonError = /(?:Unexpected token [\s\S]*?|"[\s\S]*?") is not valid JSON/g;

// Runs of characters that a key or token may be made of. User, room and event ids, which are public
// to the operator, come first and are taken as they are.
const runs =
  /(@[^\s:"'/]{1,255}:|![A-Za-z]{18}:|(?<![A-Za-z0-9_=+/-])[$!][A-Za-z0-9_-]{43}(?![A-Za-z0-9_=+/-]))|((?:[A-Za-z0-9_=+/-]|%2[BF]|%3D)+)/gi;

/**
 * Takes out of a text what looks like a token, a key, a password or message content, and bounds its
 * length. It would rather take out too much: of what it leaves, an operator must be able to paste all
 * into a public place.
 */
export function redactText(text: string): string {
  if (isPlain(text)) return text;
  // Bounded before the expressions run, and again at the end, so that nothing long costs time.
  const bounded = text.length > maxTextLength * 2 ? text.slice(0, maxTextLength * 2) : text;
  const clean = bounded
    .replace(control, "\ufffd")
    .replace(armour, redacted)
    .replace(jsonError, "not valid JSON")
    .replace(userInfo, `$1${redacted}@`)
    .replace(scheme, `$1 ${redacted}`)
    .replace(assignment, `$1$2${redacted}`)
    .replace(contentMember, `$1"${redacted}"`)
    .replace(knownToken, redacted)
    .replace(recoveryKey, redacted)
    .replace(runs, (run, id: string | undefined) =>
      id === undefined && looksRandom(run) ? redacted : run,
    );
  if (clean.length <= maxTextLength && bounded.length === text.length) return clean;
  return `${clean.slice(0, maxTextLength)}... [${text.length} characters]`;
}

// Words, words in camel case, capitals, each with a number behind it: what identifiers and paths are made of.
const wordy = /^(?:[A-Z]+|[A-Z]?[a-z]*(?:[A-Z]{1,5}[a-z]{2,})*[A-Z]{0,5})\d*$/;

// Most texts of a log: short words and the time. Nothing below would find anything in them.
function isPlain(text: string): boolean {
  if (text.length < 20) return /^[\w./-]*$/.test(text) && !/(?:sy[trl]|m[acu][tar])_/.test(text);
  return text.length < 25 && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(text);
}

/**
 * Whether a run of letters and digits looks like key material: it has a part that is not made of words,
 * or changes between small letters, capitals and digits as often as only random text does.
 */
function looksRandom(run: string): boolean {
  if (run.length < 20) return false;
  if (/[0-9a-f]{32}|[0-9A-F]{32}/.test(run)) return true;
  const parts = run.split(/(?:%[0-9A-F]{2}|[^A-Za-z0-9])+/i);
  if (parts.some((part) => part.length >= 8 && !wordy.test(part))) return true;
  const text = parts.join("");
  let changes = 0;
  for (let index = 1; index < text.length; index++) {
    const before = kindOf(text.charCodeAt(index - 1));
    const now = kindOf(text.charCodeAt(index));
    // A small letter behind a capital is how words begin in an identifier.
    if (before !== now && !(before === "capital" && now === "small")) changes += 1;
  }
  return text.length >= 20 && changes / text.length >= 0.3;
}

function kindOf(code: number): "digit" | "capital" | "small" {
  if (code < 0x3a) return "digit";
  return code < 0x5b ? "capital" : "small";
}
