/** One way to read a path: what stands at the end of the pattern, and the raw segments that its parameters matched. */
export interface PathMatch<T> {
  readonly value: T;
  readonly params: readonly string[];
}

interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  param: Node<T> | null;
  readonly values: T[];
}

/**
 * Path patterns compiled to a tree, one level a segment. Literals are tried before parameters, and a dead end is left again, so
 * every pattern that fits is found whatever the order in which patterns were added.
 */
export class PathTree<T> {
  readonly #root: Node<T> = newNode();

  /** Adds a pattern such as `/rooms/{roomId}/send`; the names of its parameters are not kept. */
  add(pattern: string, value: T): void {
    let node = this.#root;
    for (const segment of segmentsOf(pattern)) {
      if (segment.startsWith("{")) {
        node.param ??= newNode();
        node = node.param;
      } else {
        let next = node.literals.get(segment);
        if (next === undefined) {
          next = newNode();
          node.literals.set(segment, next);
        }
        node = next;
      }
    }
    node.values.push(value);
  }

  /** Calls `accept` for each pattern that fits until it answers true; then that match, else null. */
  find(segments: readonly string[], accept: (value: T) => boolean): PathMatch<T> | null {
    return search(this.#root, segments, 0, [], accept);
  }

  /** Every pattern that fits. */
  all(segments: readonly string[]): PathMatch<T>[] {
    const found: PathMatch<T>[] = [];
    const params: string[] = [];
    search(this.#root, segments, 0, params, (value) => {
      found.push({ value, params: [...params] });
      return false;
    });
    return found;
  }
}

/** The segments of an absolute path: `/a//b` has `a`, an empty one and `b`. */
export function segmentsOf(path: string): string[] {
  return path.slice(1).split("/");
}

/** The parameter names of a pattern, in order. */
export function paramNames(pattern: string): string[] {
  return segmentsOf(pattern)
    .filter((segment) => segment.startsWith("{"))
    .map((segment) => segment.slice(1, -1));
}

function newNode<T>(): Node<T> {
  return { literals: new Map<string, Node<T>>(), param: null, values: [] };
}

function search<T>(
  node: Node<T>,
  segments: readonly string[],
  index: number,
  params: string[],
  accept: (value: T) => boolean,
): PathMatch<T> | null {
  const segment = segments[index];
  if (segment === undefined) {
    for (const value of node.values) if (accept(value)) return { value, params };
    return null;
  }
  const literal = node.literals.get(segment);
  if (literal !== undefined) {
    const match = search(literal, segments, index + 1, params, accept);
    if (match !== null) return match;
  }
  if (node.param === null) return null;
  params.push(segment);
  const match = search(node.param, segments, index + 1, params, accept);
  if (match === null) params.pop();
  return match;
}
