/**
 * Other readings of a path. A homeserver or a reverse proxy in front of it may decode, merge slashes, resolve dots and so on, any
 * number of times and in any order, before it routes; this finds every path that can come of it.
 */

/** More readings than any honest path has; past it the path is treated as hostile. */
const MAX_VARIANTS = 256;
/** A state key has at most 255 bytes, so that even triple-encoded no honest path is longer. */
const MAX_LENGTH = 8 * 1024;

/**
 * Whether any reading but the plain one is possible. Encoded characters that ids are made of, and that no literal of a pattern
 * and no rewriting looks at, are not suspicious: `! $ ( ) * + , : = @ ~` and the bytes of non-ASCII text.
 */
const SUSPICIOUS = /\/[/.]|[;\\#\0]|\/$|%(?!2[1489abcABC]|3[adAD]|40|7[eE]|[89a-fA-F][0-9a-fA-F])/;

/** Cheap test before {@link pathVariants}: false means that the path has one reading only, but for upper and lower case. */
export function hasVariants(path: string): boolean {
  return SUSPICIOUS.test(path);
}

/**
 * Every path that `path` may become, itself included.
 *
 * @returns null when the path is longer, or has more readings, than any honest one
 */
export function pathVariants(path: string): ReadonlySet<string> | null {
  if (path.length > MAX_LENGTH) return null;
  const seen = new Set<string>([path]);
  // A Set is walked in order of insertion and takes in what is added on the way: this is the breadth-first search.
  for (const variant of seen) {
    for (const rewrite of REWRITES) {
      seen.add(rewrite(variant));
      if (seen.size > MAX_VARIANTS) return null;
    }
  }
  return seen;
}

const REWRITES: readonly ((path: string) => string)[] = [
  decodeOnce,
  (path) => path.replace(/\/{2,}/g, "/"),
  resolveDots,
  trimTrailingSlashes,
  (path) => path.replace(/;[^/]*/g, ""),
  (path) => path.replaceAll("\\", "/"),
  // What was decoded may begin a query or a fragment, or end a C string.
  (path) => path.replace(/[?#\0].*$/s, ""),
  (path) => path.replace(/[\t\n\r]/g, ""),
  (path) =>
    path
      .split("/")
      .map((segment) => segment.trim())
      .join("/"),
];

/** Percent-decodes byte by byte: a byte above 0x7f stays one character, which no pattern holds. */
function decodeOnce(path: string): string {
  return path.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
}

/** By hand: a pattern such as /\/+$/ takes quadratic time on a run of slashes elsewhere. */
function trimTrailingSlashes(path: string): string {
  let end = path.length;
  while (end > 0 && path.charCodeAt(end - 1) === 0x2f) end -= 1;
  return path.slice(0, end);
}

/** Removes dot segments as a URL parser does: an empty segment counts as one. */
function resolveDots(path: string): string {
  const result: string[] = [];
  const segments = path.split("/");
  segments.forEach((segment, index) => {
    const isLast = index === segments.length - 1;
    if (segment === "..") {
      if (result.length > 1) result.pop();
      if (isLast) result.push("");
    } else if (segment === ".") {
      if (isLast) result.push("");
    } else {
      result.push(segment);
    }
  });
  return result.join("/");
}
