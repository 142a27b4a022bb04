import { MatrixError } from "../matrix/errors.ts";
import type { WireError } from "./protocol.ts";

/** An error as it crosses to another thread; its class becomes a name. */
export function toWireError(error: unknown): WireError {
  if (error instanceof MatrixError) {
    const { statusCode, errcode, fields } = error;
    return { name: error.name, message: error.message, matrix: { statusCode, errcode, fields } };
  }
  if (error instanceof Error) return { name: error.name, message: error.message, matrix: null };
  return { name: "Error", message: "an unknown value was thrown", matrix: null };
}

/** The error again on the other side. A Matrix error is one here too, with its old name. */
export function fromWireError(wire: WireError): Error {
  if (wire.matrix !== null) {
    const { statusCode, errcode, fields } = wire.matrix;
    const error = new MatrixError(statusCode, errcode, wire.message, { fields });
    Object.defineProperty(error, "name", { value: wire.name });
    return error;
  }
  const error = new Error(wire.message);
  error.name = wire.name;
  return error;
}
