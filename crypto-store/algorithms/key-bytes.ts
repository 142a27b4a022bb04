/** A key as the engine uses them. Dates and binary keys of the specification are refused. */
export type Key = number | string | readonly Key[];

/*
 * Keys as bytes whose order is the order of keys: number < string < array.
 * A number is its IEEE 754 bits, all inverted when negative, else with the sign bit set. A string is its UTF-16 code units,
 * shifted by one so that 0 can end it. An array is its elements, ended by 0. No encoding is a prefix of another one.
 */
const NUMBER = 0x10;
const STRING = 0x30;
const ARRAY = 0x50;
const END = 0x00;
/** Code units from here on take three bytes, the first with the top bit set. */
const LONG_FORM = 0x7f;

/** Encodes a key so that comparing bytes compares keys. */
export function encodeKey(key: Key): Buffer {
  const bytes = Buffer.allocUnsafe(encodedLength(key));
  write(key, bytes, 0);
  return bytes;
}

/** The key that {@link encodeKey} made these bytes of. */
export function decodeKey(bytes: Uint8Array): Key {
  return read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), { offset: 0 });
}

function encodedLength(key: Key): number {
  if (typeof key === "number") return 9;
  let length = 2;
  if (typeof key === "string") {
    for (let i = 0; i < key.length; i += 1) length += key.charCodeAt(i) < LONG_FORM ? 1 : 3;
  } else {
    for (const element of key) length += encodedLength(element);
  }
  return length;
}

function write(key: Key, bytes: Buffer, start: number): number {
  let offset = start;
  if (typeof key === "number") {
    bytes[offset] = NUMBER;
    // Adding 0 turns -0 into 0, which is the same key.
    bytes.writeDoubleBE(key + 0, offset + 1);
    const isNegative = (bytes.readUInt8(offset + 1) & 0x80) !== 0;
    for (let i = offset + 1; i < offset + 9; i += 1) {
      if (isNegative) bytes[i] = ~bytes.readUInt8(i) & 0xff;
    }
    if (!isNegative) bytes[offset + 1] = bytes.readUInt8(offset + 1) | 0x80;
    return offset + 9;
  }
  if (typeof key === "string") {
    bytes[offset++] = STRING;
    for (let i = 0; i < key.length; i += 1) {
      const unit = key.charCodeAt(i);
      if (unit < LONG_FORM) {
        bytes[offset++] = unit + 1;
      } else {
        bytes[offset++] = 0x80 | (unit >>> 12);
        bytes[offset++] = (unit >>> 6) & 0x3f;
        bytes[offset++] = unit & 0x3f;
      }
    }
  } else {
    bytes[offset++] = ARRAY;
    for (const element of key) offset = write(element, bytes, offset);
  }
  bytes[offset++] = END;
  return offset;
}

function read(bytes: Buffer, position: { offset: number }): Key {
  const tag = bytes.readUInt8(position.offset++);
  switch (tag) {
    case NUMBER:
      return readNumber(bytes, position);
    case STRING:
      return readString(bytes, position);
    case ARRAY: {
      const elements: Key[] = [];
      while (bytes.readUInt8(position.offset) !== END) elements.push(read(bytes, position));
      position.offset += 1;
      return elements;
    }
    default:
      throw new TypeError(`expected an encoded key, got tag ${tag}`);
  }
}

function readNumber(bytes: Buffer, position: { offset: number }): number {
  const bits = Buffer.from(bytes.subarray(position.offset, position.offset + 8));
  position.offset += 8;
  const isNegative = (bits.readUInt8(0) & 0x80) === 0;
  if (isNegative) for (let i = 0; i < 8; i += 1) bits[i] = ~bits.readUInt8(i) & 0xff;
  else bits[0] = bits.readUInt8(0) & 0x7f;
  return bits.readDoubleBE(0);
}

function readString(bytes: Buffer, position: { offset: number }): string {
  let text = "";
  for (;;) {
    const byte = bytes.readUInt8(position.offset++);
    if (byte === END) return text;
    if (byte < 0x80) {
      text += String.fromCharCode(byte - 1);
      continue;
    }
    const middle = bytes.readUInt8(position.offset++);
    const last = bytes.readUInt8(position.offset++);
    text += String.fromCharCode(((byte & 0x0f) << 12) | (middle << 6) | last);
  }
}
