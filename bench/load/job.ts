/** What the load generator is to do: the same request again and again, `inFlight` at once, each on a connection of its own. */
export interface Job {
  readonly url: string;
  readonly method: "GET" | "PUT";
  /** Targets; connection number n takes the one at n modulo their number. `{txn}` becomes a number of its own for each request. */
  readonly targets: readonly string[];
  readonly token: string;
  /** JSON text; empty for none. */
  readonly body: string;
  readonly inFlight: number;
  readonly count: number;
  /** What is counted in the bodies of the answers, such as `"decrypted":true`. */
  readonly countIn: string | null;
}

/** What came of it. */
export interface JobResult {
  readonly elapsedMs: number;
  /** Median and 99th percentile of one request, milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** How often `countIn` was found. */
  readonly found: number;
}
