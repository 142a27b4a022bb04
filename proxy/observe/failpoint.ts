/**
 * Named points at which a test ends the process as a power cut would. `KIRJAVA_FAILPOINT=name` or
 * `name:3` (the third passing) arms one; without it a point costs one comparison.
 */
const armed = process.env["KIRJAVA_FAILPOINT"];
const [armedName, armedCount] = (armed ?? "").split(":");
let remaining = Number(armedCount ?? "1");

/** An event whose JSON holds this text makes the engine fail, as poison would. */
const poison = process.env["KIRJAVA_POISON"];

/** True for an event that a test has declared poison. */
export function isPoison(event: string): boolean {
  return poison !== undefined && poison !== "" && event.includes(poison);
}

/** The places that can be armed. */
export type FailpointName =
  | "claim-to-share"
  | "share-to-send"
  | "send-to-answer"
  | "receive-to-commit"
  | "receive-to-release";

/** Ends the process with SIGKILL where this point is armed and its count has run out. */
export function failpoint(name: FailpointName): void {
  if (armed === undefined || name !== armedName) return;
  remaining -= 1;
  if (remaining === 0) process.kill(process.pid, "SIGKILL");
}
