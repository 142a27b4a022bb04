import { unknownError } from "./errors.ts";

/** A position in the two streams that a sync follows. */
export interface StreamToken {
  /** Room events, account data, device lists, receipts, typing. */
  readonly main: number;
  /** To-device messages: of its own, as a response holds at most 100 of them. */
  readonly toDevice: number;
}

/** The token as clients see it: without a shape that they could rely on. */
export function encodeToken(token: StreamToken): string {
  return `s${Buffer.from(`${token.main}.${token.toDevice}`).toString("base64url")}`;
}

/** Reads a token of `encodeToken`. Throws 400 M_UNKNOWN for anything else. */
export function decodeToken(text: string): StreamToken {
  const match = text.startsWith("s")
    ? /^(\d+)\.(\d+)$/.exec(Buffer.from(text.slice(1), "base64url").toString())
    : null;
  if (match === null) throw unknownError("Invalid stream token");
  return { main: Number(match[1]), toDevice: Number(match[2]) };
}
