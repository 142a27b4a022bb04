import { MatrixError } from "../matrix/errors.ts";
import { type JsonObject, parseObject } from "../matrix/json.ts";

/** The JSON object of a response's body. @throws MatrixError 502 where it is none */
export function parseBody(body: Uint8Array): JsonObject {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
  const parsed = parseObject(text);
  if (parsed === null)
    throw new MatrixError(502, "M_UNKNOWN", "the homeserver sent no JSON object");
  return parsed;
}
