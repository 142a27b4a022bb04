import { HomeserverTimeout, HomeserverUnreachable, MatrixError } from "../matrix/errors.ts";

/** undici's codes that mean "took the request, gave no answer in time". */
const TIMEOUT_CODES: ReadonlySet<string> = new Set([
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  "FST_REPLY_FROM_GATEWAY_TIMEOUT",
]);

/**
 * Turns whatever undici, node:net or node:tls threw while talking to the homeserver into the error that the client is told.
 * This is the one boundary: nothing above it looks at an undici or socket error code.
 *
 * @param cause - the thrown value; a {@link MatrixError} is returned as it is
 * @param timeoutMs - the time limit in force, for the message
 */
export function toUpstreamError(cause: unknown, timeoutMs: number): MatrixError {
  // reply-from wraps undici's error in one of its own; the inner one says what happened.
  for (let error = cause, depth = 0; error instanceof Error && depth < 4; depth += 1) {
    if (error instanceof MatrixError) return error;
    if (errorCode(error) === "UND_ERR_INVALID_ARG") {
      return new MatrixError(400, "M_UNRECOGNIZED", "the request cannot be forwarded as it is", {
        cause,
      });
    }
    if (TIMEOUT_CODES.has(errorCode(error))) return new HomeserverTimeout(timeoutMs, cause);
    error = error.cause;
  }
  return new HomeserverUnreachable(cause);
}

function errorCode(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
