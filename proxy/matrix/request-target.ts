import { parseSyncToken } from "./sync-token.ts";

/** Query parameters in which clients present positions. */
const positions = ["since", "from", "to", "at"];

/**
 * Query parameters by which an application service says whom its request is for.
 *
 * @see https://spec.matrix.org/v1.17/application-service-api/#identity-assertion
 */
export const IDENTITY_PARAMETERS: readonly string[] = [
  "user_id",
  "device_id",
  "org.matrix.msc3202.device_id",
];

/** These parameters of a query, first values, as a query of their own with its `?`; empty for none. */
export function keptQuery(query: URLSearchParams, names: readonly string[]): string {
  const kept = new URLSearchParams();
  for (const name of names) {
    const value = query.get(name);
    if (value !== null) kept.set(name, value);
  }
  return kept.size === 0 ? "" : `?${kept.toString()}`;
}

/** A request target with some query parameters set; the others keep their bytes and their order. */
export function withQuery(
  target: string,
  changes: Readonly<Record<string, string | null>>,
): string {
  const [path = "", ...rest] = target.split("?");
  const kept = rest
    .join("?")
    .split("&")
    .filter((pair) => pair !== "" && !Object.hasOwn(changes, decodeName(pair)));
  for (const [name, value] of Object.entries(changes)) {
    if (value !== null) kept.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  }
  return kept.length === 0 ? path : `${path}?${kept.join("&")}`;
}

/** The target with Kirjava's cursors taken out of the positions that it presents. */
export function withoutCursors(target: string): string {
  if (!/(~|%7e)k\d/i.test(target)) return target;
  const query = new URLSearchParams(target.split("?").slice(1).join("?"));
  const changes: Record<string, string> = {};
  for (const name of positions) {
    const value = query.get(name);
    if (value === null) continue;
    const { upstream } = parseSyncToken(value);
    if (upstream !== value) changes[name] = upstream;
  }
  return withQuery(target, changes);
}

/** The target without the last segment of its path; its query keeps its bytes. */
export function withoutLastSegment(target: string): string {
  const [path = "", ...rest] = target.split("?");
  return [path.slice(0, path.lastIndexOf("/")), ...rest].join("?");
}

/** The target of a send with another event type; prefix, transaction id and query keep their bytes. */
export function withEventType(target: string, eventType: string, hasTxnId: boolean): string {
  const [path = "", ...rest] = target.split("?");
  const segments = path.split("/");
  segments[segments.length - (hasTxnId ? 2 : 1)] = encodeURIComponent(eventType);
  return [segments.join("/"), ...rest].join("?");
}

function decodeName(pair: string): string {
  const name = pair.split("=", 1)[0] ?? "";
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    return name;
  }
}
