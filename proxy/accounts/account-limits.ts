/** Bounds of `Accounts`; every one has a default. */
export interface AccountLimits {
  /** Age in milliseconds from which on the homeserver is asked again about a known token. */
  readonly revalidateMs?: number;
  /** How long a refusal answers for the same token, and how long a silent homeserver is not asked about known ones. */
  readonly refusedMs?: number;
  /** Limit of one whoami request about a token never seen. */
  readonly whoamiTimeoutMs?: number;
  /** The same for a known token, which is served when it has passed. */
  readonly revalidateTimeoutMs?: number;
  /** Entries kept in memory, of known and of refused tokens each. */
  readonly cacheSize?: number;
  /** whoami requests at once for tokens never seen; those of known tokens do not wait behind them. */
  readonly unknownAtOnce?: number;
  /** How many more tokens never seen may wait; beyond it they are answered 429. */
  readonly unknownWaiting?: number;
}

/** The bounds where nothing else is asked for. */
export const DEFAULT_ACCOUNT_LIMITS: Required<AccountLimits> = {
  revalidateMs: 60_000,
  refusedMs: 5_000,
  whoamiTimeoutMs: 10_000,
  revalidateTimeoutMs: 3_000,
  cacheSize: 10_000,
  unknownAtOnce: 16,
  unknownWaiting: 4_096,
};
