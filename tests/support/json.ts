/** Narrows parsed JSON to an object; throws naming what came instead. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new TypeError(`expected a JSON object, got ${JSON.stringify(value)}`);
}

/** A field that has to be a string. */
export function stringField(record: Readonly<Record<string, unknown>>, name: string): string {
  const value = record[name];
  if (typeof value === "string") return value;
  throw new TypeError(`expected a string in ${name}, got ${JSON.stringify(value)}`);
}
