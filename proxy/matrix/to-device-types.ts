const cryptoTypes =
  /^(m\.room\.encrypted$|m\.room_key|m\.forwarded_room_key$|m\.dummy$|m\.secret\.|m\.key\.verification\.|org\.matrix\.room_key|io\.element\.msc4268\.)/;

/**
 * True for to-device events by which encrypted clients exchange keys; all others are an
 * application's own.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#end-to-end-encryption
 */
export function isCryptoType(type: unknown): boolean {
  return typeof type === "string" && cryptoTypes.test(type);
}
