/**
 * Converts a value to an integer in a range, as WebIDL's [EnforceRange] does.
 *
 * @throws TypeError when it is out of range or no number.
 * @see https://webidl.spec.whatwg.org/#EnforceRange
 */
export function enforceRange(
  value: unknown,
  minimum: number,
  maximum: number,
  what: string,
): number {
  const number = Math.trunc(Number(value));
  if (!(number >= minimum && number <= maximum)) {
    throw new TypeError(`expected ${what} from ${minimum} to ${maximum}, got ${String(value)}`);
  }
  return number + 0;
}

const UNSIGNED_LONG_MAX = 0xffff_ffff;

/** The `count` argument of getAll and getAllKeys as an SQL limit: absent and 0 mean all. */
export function readLimit(count: unknown): number {
  if (count === undefined) return -1;
  const limit = enforceRange(count, 0, UNSIGNED_LONG_MAX, "count");
  return limit === 0 ? -1 : limit;
}
