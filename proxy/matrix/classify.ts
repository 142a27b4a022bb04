import { CLIENT_PREFIXES, ENDPOINTS, MEDIA_PREFIXES } from "./endpoints.ts";
import type { Endpoint, EndpointName } from "./endpoints.ts";
import { hasVariants, pathVariants } from "./path-variants.ts";
import { PathTree, paramNames, segmentsOf } from "./path-tree.ts";
import type { PathMatch } from "./path-tree.ts";

/** A request to an endpoint of the table. */
export interface Match {
  readonly endpoint: EndpointName;
  /** Path parameters, percent-decoded once; what is no valid encoding stays as it is. */
  readonly params: Readonly<Record<string, string>>;
}

interface Leaf {
  readonly name: EndpointName;
  readonly endpoint: Endpoint;
  readonly names: readonly string[];
}

/** A guarded endpoint under any version and, where it says so, any vendor's prefix. */
interface GuardLeaf extends Leaf {
  readonly hasVendor: boolean;
}

/** node:http gives each raw byte of a target as one character; together they are UTF-8, as their encoded form would be. */
const NOT_ASCII = /[\x80-\xff]/;

/** What the plain reading of a path is. */
interface Own {
  readonly name: EndpointName;
  readonly params: readonly string[];
}

/** Methods that write nothing. OPTIONS must reach the homeserver: CORS is its own to answer. */
const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

const exact = new PathTree<Leaf>();
const guarded = new PathTree<GuardLeaf>();

for (const name of Object.keys(ENDPOINTS) as EndpointName[]) {
  const endpoint = ENDPOINTS[name];
  for (const path of endpoint.paths) {
    for (const pattern of expand(path, CLIENT_PREFIXES, MEDIA_PREFIXES)) {
      exact.add(pattern, { name, endpoint, names: paramNames(pattern) });
    }
    if (endpoint.guarded === true) addGuard(name, endpoint, path);
  }
}

/**
 * What a request is, from its method and its raw target alone. Pure.
 *
 * Synapse matches patterns on the raw, still encoded path; a path of the table as it would read it is that endpoint. Other servers,
 * and reverse proxies on the way, first decode, merge slashes, resolve dots, fold case, cut parameters off, or serve more version
 * prefixes. A path that is a *guarded* endpoint only under such a reading, or another one than its plain reading, is refused.
 * Everything else passes byte for byte.
 *
 * @param rawUrl - origin-form request target as it came, with query
 */
export function classify(method: string, rawUrl: string): Match | "pass" | "refuse" {
  const query = rawUrl.indexOf("?");
  const path = query === -1 ? rawUrl : rawUrl.slice(0, query);
  if (path.charCodeAt(0) !== 0x2f) return "refuse";
  if (method === "OPTIONS") return "pass";
  const tableMethod = method === "HEAD" ? "GET" : method;

  const plain = exact.find(segmentsOf(path), (leaf) => leaf.endpoint.methods.includes(tableMethod));
  if (hasVariants(path)) {
    const variants = pathVariants(path);
    if (variants === null) return "refuse";
    const own = plain === null ? null : { name: plain.value.name, params: plain.params };
    for (const variant of variants) if (meetsOther(method, variant, own)) return "refuse";
  } else if (plain === null && meetsOther(method, path, null)) {
    return "refuse";
  }
  if (plain === null) return "pass";

  const params: Record<string, string> = {};
  plain.value.names.forEach(
    (name, index) => (params[name] = decodeParam(plain.params[index] ?? "")),
  );
  return { endpoint: plain.value.name, params };
}

/** Whether a reading of the path meets a guarded endpoint other than the plain reading's own. */
function meetsOther(method: string, variant: string, own: Own | null): boolean {
  const hits = guarded.all(segmentsOf(variant.toLowerCase())).filter(hasPlausibleVendor);
  if (hits.length === 0) return false;
  const tableMethod = method === "HEAD" ? "GET" : method;
  const meant = hits.filter((hit) => hit.value.endpoint.methods.includes(tableMethod));
  // A method that no server takes there: harmless if it only reads, else not worth finding out.
  if (meant.length === 0) return !SAFE_METHODS.has(method);
  return meant.some(({ value, params }) => {
    const named = params.slice(params.length - value.names.length);
    return own?.name !== value.name || !sameParams(own.params, named);
  });
}

/** Vendor prefixes are reversed domain names; without the dot, `/devices/sync` would read as a vendor's sync. */
function hasPlausibleVendor(hit: PathMatch<GuardLeaf>): boolean {
  return !hit.value.hasVendor || (hit.params[1] ?? "").includes(".");
}

/** Whether both name the same room, type and so on, once everything is decoded. */
function sameParams(left: readonly string[], right: readonly string[]): boolean {
  return (
    left.length === right.length &&
    left.every((value, index) => fold(value) === fold(right[index] ?? ""))
  );
}

function fold(value: string): string {
  let decoded = value;
  for (let next = decodeBytes(decoded); next !== decoded; next = decodeBytes(decoded))
    decoded = next;
  return decoded.toLowerCase();
}

function decodeBytes(value: string): string {
  return value.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
}

function decodeParam(raw: string): string {
  if (NOT_ASCII.test(raw)) return Buffer.from(decodeBytes(raw), "latin1").toString("utf8");
  if (!raw.includes("%")) return raw;
  try {
    return decodeURIComponent(raw);
  } catch {
    // As Python's unquote does: invalid escapes stay, invalid UTF-8 becomes U+FFFD.
    return Buffer.from(decodeBytes(raw), "latin1").toString("utf8");
  }
}

/** A guard fits any version and any vendor prefix: a homeserver of tomorrow may serve `/v9/rooms/{}/send`. */
function addGuard(name: EndpointName, endpoint: Endpoint, path: string): void {
  const folded = path.toLowerCase();
  const names = paramNames(path.replace(/^\{[CM]\}/, ""));
  const add = (hasVendor: boolean, ...prefixes: readonly string[]): void => {
    const under = (base: string): string[] => prefixes.map((prefix) => base + prefix);
    for (const pattern of expand(folded, under("/_matrix/client"), under("/_matrix/media"))) {
      guarded.add(pattern, { name, endpoint, names, hasVendor });
    }
  };
  add(false, "/{version}", "/api/{version}");
  add(true, "/{version}/{vendor}");
}

function expand(path: string, client: readonly string[], media: readonly string[]): string[] {
  if (/^\{c\}/i.test(path)) return client.map((prefix) => prefix + path.slice(3));
  if (/^\{m\}/i.test(path)) return media.map((prefix) => prefix + path.slice(3));
  return [path];
}
