/**
 * A failure that a Matrix client is told about: an HTTP status with `{errcode, error}`.
 * The one error handler of the HTTP front turns every thrown value into one of these.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#standard-error-response
 */
export class MatrixError extends Error {
  override readonly name: string = "MatrixError";
  readonly statusCode: number;
  readonly errcode: string;
  /** Further members of the JSON body, such as `retry_after_ms` or `soft_logout`. */
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(
    statusCode: number,
    errcode: string,
    message: string,
    options: { readonly fields?: Record<string, unknown>; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.statusCode = statusCode;
    this.errcode = errcode;
    this.fields = options.fields ?? {};
  }

  /** The JSON body of the answer. */
  toBody(): Record<string, unknown> {
    return { ...this.fields, errcode: this.errcode, error: this.message };
  }
}

/** The homeserver could not be reached at all: 502, at once. */
export class HomeserverUnreachable extends MatrixError {
  override readonly name = "HomeserverUnreachable";
  constructor(cause: unknown) {
    super(502, "M_UNKNOWN", "the homeserver cannot be reached", { cause });
  }
}

/** The homeserver took the request and did not answer in time: 504. */
export class HomeserverTimeout extends MatrixError {
  override readonly name = "HomeserverTimeout";
  constructor(timeoutMs: number, cause?: unknown) {
    super(504, "M_UNKNOWN", `the homeserver did not answer within ${timeoutMs} ms`, { cause });
  }
}
