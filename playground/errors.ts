/**
 * An answer `{errcode, error}` of the playground homeserver.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#standard-error-response
 */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly statusCode: number;
  readonly errcode: string;
  /** Further members of the body. */
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(
    statusCode: number,
    errcode: string,
    message: string,
    fields: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
    this.statusCode = statusCode;
    this.errcode = errcode;
    this.fields = fields;
  }

  /** The JSON body. */
  toBody(): Record<string, unknown> {
    return { ...this.fields, errcode: this.errcode, error: this.message };
  }
}

/** 403 M_FORBIDDEN. */
export function forbidden(message: string): ApiError {
  return new ApiError(403, "M_FORBIDDEN", message);
}

/** 404 M_NOT_FOUND. */
export function notFound(message: string): ApiError {
  return new ApiError(404, "M_NOT_FOUND", message);
}

/** 400 M_BAD_JSON. */
export function badJson(message: string): ApiError {
  return new ApiError(400, "M_BAD_JSON", message);
}

/** 400 M_INVALID_PARAM. */
export function invalidParam(message: string): ApiError {
  return new ApiError(400, "M_INVALID_PARAM", message);
}

/** 400 M_MISSING_PARAM. */
export function missingParam(message: string): ApiError {
  return new ApiError(400, "M_MISSING_PARAM", message);
}

/** 400 M_UNKNOWN, the homeserver's usual answer to what has no code of its own. */
export function unknownError(message: string): ApiError {
  return new ApiError(400, "M_UNKNOWN", message);
}

/** 404 or 405 M_UNRECOGNIZED. */
export function unrecognized(statusCode: 404 | 405): ApiError {
  return new ApiError(statusCode, "M_UNRECOGNIZED", "Unrecognized request");
}
