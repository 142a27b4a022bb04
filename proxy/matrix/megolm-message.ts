/**
 * The message index of a Megolm ciphertext: version byte 3, then the field `0x08` with the index as
 * a variable-length integer. It is public, so it can be read without the key.
 *
 * @param ciphertext - unpadded base64, as in `content.ciphertext` of `m.megolm.v1.aes-sha2`
 * @returns the index, or `null` where the text has not this shape
 * @see https://gitlab.matrix.org/matrix-org/olm/-/blob/master/docs/megolm.md#message-format
 */
export function megolmMessageIndex(ciphertext: string): number | null {
  // Version, tag and at most five bytes of integer fit into 12 characters of base64.
  const bytes = Buffer.from(ciphertext.slice(0, 12), "base64");
  if (bytes[0] !== 3 || bytes[1] !== 8) return null;
  let index = 0;
  for (let position = 2; position < Math.min(bytes.length, 7); position++) {
    const byte = bytes[position] ?? 0;
    index += (byte & 0x7f) * 2 ** (7 * (position - 2));
    if (byte < 0x80) return index <= 0xffff_ffff ? index : null;
  }
  return null;
}
