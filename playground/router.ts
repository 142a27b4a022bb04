import type { Call } from "./call.ts";
import { unrecognized } from "./errors.ts";

/** An answer. A string or buffer body goes out as it is, anything else as JSON. */
export interface Reply {
  readonly statusCode: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers one request; throws ApiError. */
export type Handler = (call: Call) => Reply | Promise<Reply>;

/** One endpoint. `path` is literal segments and `{parameters}`. */
export interface Route {
  readonly method: string;
  readonly path: string;
  readonly handler: Handler;
}

/** 200 with this body. */
export function ok(body: unknown = {}): Reply {
  return { statusCode: 200, body };
}

/** The endpoint under the client API's prefixes: r0, v3 and unstable, as Synapse has it; `extra` adds more. */
export function client(
  method: string,
  path: string,
  handler: Handler,
  extra: readonly string[] = [],
): Route[] {
  return ["r0", "v3", "unstable", ...extra].map((prefix) => ({
    method,
    path: `/_matrix/client/${prefix}/${path}`,
    handler,
  }));
}

interface Node {
  readonly literals: Map<string, Node>;
  parameter: Node | null;
  readonly handlers: Map<string, { readonly route: Route; readonly names: readonly string[] }>;
}

/** A request's endpoint with its percent-decoded path parameters. */
export interface Match {
  readonly handler: Handler;
  readonly params: Readonly<Record<string, string>>;
}

/** Finds endpoints by method and raw path. Literal segments match only as they are written. */
export class Router {
  readonly #root: Node = newNode();

  /** Adds endpoints. */
  add(routes: readonly Route[]): void {
    for (const route of routes) {
      const names: string[] = [];
      let node = this.#root;
      for (const segment of route.path.split("/")) {
        if (segment.startsWith("{")) {
          names.push(segment.slice(1, -1));
          node.parameter ??= newNode();
          node = node.parameter;
        } else {
          const next = node.literals.get(segment) ?? newNode();
          node.literals.set(segment, next);
          node = next;
        }
      }
      node.handlers.set(route.method, { route, names });
    }
  }

  /** The endpoint. Throws 404 or 405 M_UNRECOGNIZED. */
  match(method: string, rawPath: string): Match {
    const found = find(this.#root, rawPath.split("/"), 0, []);
    if (found === null) throw unrecognized(404);
    const entry = found.node.handlers.get(method === "HEAD" ? "GET" : method);
    if (entry === undefined) throw unrecognized(405);
    const params = entry.names.map((name, index) => [name, decode(found.values[index] ?? "")]);
    return {
      handler: entry.route.handler,
      params: Object.fromEntries(params) as Record<string, string>,
    };
  }
}

function newNode(): Node {
  return { literals: new Map(), parameter: null, handlers: new Map() };
}

function find(
  node: Node,
  segments: readonly string[],
  index: number,
  values: readonly string[],
): { readonly node: Node; readonly values: readonly string[] } | null {
  const segment = segments[index];
  if (segment === undefined) return node.handlers.size > 0 ? { node, values } : null;
  const literal = node.literals.get(segment);
  const found = literal === undefined ? null : find(literal, segments, index + 1, values);
  if (found !== null || node.parameter === null) return found;
  return find(node.parameter, segments, index + 1, [...values, segment]);
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
