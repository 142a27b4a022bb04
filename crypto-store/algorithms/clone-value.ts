import { Deserializer, Serializer } from "node:v8";

/**
 * A structured clone of a value, as bytes.
 *
 * `v8.serialize` would write typed arrays as host objects that come back as views on the input buffer; the plain serializer
 * keeps them as the specification has them.
 *
 * @throws DOMException `DataCloneError` for what cannot be cloned (functions, symbols, shared memory).
 */
export function serializeValue(value: unknown): Buffer {
  try {
    const serializer = new Serializer();
    serializer.writeHeader();
    serializer.writeValue(value);
    return serializer.releaseBuffer();
  } catch (cause) {
    throw new DOMException(
      `value cannot be stored: ${cause instanceof Error ? cause.message : "clone failed"}`,
      {
        name: "DataCloneError",
        cause,
      },
    );
  }
}

/** The value that {@link serializeValue} made these bytes of: a new one at every call. */
export function deserializeValue(bytes: Uint8Array): unknown {
  const deserializer = new Deserializer(bytes);
  deserializer.readHeader();
  return deserializer.readValue() as unknown;
}
