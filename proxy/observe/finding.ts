/** One thing that was checked and how it is. */
export interface Finding {
  /** `skip`: it could not be checked from here. */
  readonly status: "ok" | "warn" | "fail" | "skip";
  /** What was checked: homeserver, login, key, data, port. */
  readonly check: string;
  /** Lower case, without a full stop. */
  readonly message: string;
  readonly hint: string | null;
}

/** Makes findings about one thing. */
export function findingsOf(check: string): {
  readonly ok: (message: string) => Finding;
  readonly warn: (message: string, hint?: string) => Finding;
  readonly fail: (message: string, hint?: string) => Finding;
  readonly skip: (message: string, hint?: string) => Finding;
} {
  const make = (status: Finding["status"]) => (message: string, hint?: string) => ({
    status,
    check,
    message,
    hint: hint ?? null,
  });
  return { ok: make("ok"), warn: make("warn"), fail: make("fail"), skip: make("skip") };
}
