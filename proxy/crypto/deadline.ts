import type { Clock } from "../clock.ts";

/** The work was not done in time; it goes on all the same. */
export class DeadlinePassed extends Error {
  override readonly name = "DeadlinePassed";
  constructor(deadlineMs: number) {
    super(`not done within ${deadlineMs} ms`);
  }
}

/** Rejects after `deadlineMs`; the work itself goes on. @throws {DeadlinePassed} */
export async function withDeadline<T>(
  work: Promise<T>,
  deadlineMs: number,
  clock: Clock,
): Promise<T> {
  let cancel: () => void = () => undefined;
  const deadline = new Promise<never>((_, reject) => {
    cancel = clock.after(deadlineMs, () => {
      reject(new DeadlinePassed(deadlineMs));
    });
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    cancel();
    work.catch(() => undefined);
  }
}
