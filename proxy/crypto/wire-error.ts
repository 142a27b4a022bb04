import { MatrixError } from "../matrix/errors.ts";
import type { WireError } from "./protocol.ts";

/** An error as it crosses to another thread; its class becomes a name. */
export function toWireError(error: unknown): WireError {
  if (error instanceof MatrixError) {
    const { statusCode, errcode, fields } = error;
    const cause = error.cause === undefined ? null : toWireError(error.cause);
    const matrix = { statusCode, errcode, fields };
    return { name: error.name, message: error.message, code: null, cause, matrix };
  }
  if (!(error instanceof Error)) {
    return {
      name: "Error",
      message: "an unknown value was thrown",
      code: null,
      cause: null,
      matrix: null,
    };
  }
  const code = "code" in error && typeof error.code === "string" ? error.code : null;
  const cause = error.cause === undefined ? null : toWireError(error.cause);
  return { name: error.name, message: error.message, code, cause, matrix: null };
}

/** The error again on the other side. A Matrix error is one here too, with its old name. */
export function fromWireError(wire: WireError): Error {
  const cause = wire.cause === null ? undefined : fromWireError(wire.cause);
  if (wire.matrix !== null) {
    const { statusCode, errcode, fields } = wire.matrix;
    const error = new MatrixError(statusCode, errcode, wire.message, { fields, cause });
    Object.defineProperty(error, "name", { value: wire.name });
    return error;
  }
  const error = new Error(wire.message, { cause });
  error.name = wire.name;
  // What the log shows of a full disk or a damaged file.
  if (wire.code !== null) Object.assign(error, { code: wire.code });
  return error;
}
