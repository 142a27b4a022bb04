import type { Clock } from "../clock.ts";

/** Rejects after `deadlineMs`; the work itself goes on. */
export async function withDeadline<T>(
  work: Promise<T>,
  deadlineMs: number,
  clock: Clock,
): Promise<T> {
  let cancel: () => void = () => undefined;
  const deadline = new Promise<never>((_, reject) => {
    cancel = clock.after(deadlineMs, () => {
      reject(new Error(`not done within ${deadlineMs} ms`));
    });
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    cancel();
    work.catch(() => undefined);
  }
}
