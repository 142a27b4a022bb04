/** One HTTP/1.1 message, request or response. */
export interface HttpMessage {
  /** Start line and headers, without the empty line. */
  readonly head: string;
  readonly body: Buffer;
}

const END_OF_HEAD = Buffer.from("\r\n\r\n");
const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Cuts a keep-alive stream into messages. As small as the two ends of a benchmark can have it: what they cost is not to be
 * measured. A body has a content-length or is chunked; a response that ends with its connection is refused.
 */
export class MessageReader {
  readonly #onMessage: (message: HttpMessage) => void;
  #rest: Buffer = NOTHING;

  constructor(onMessage: (message: HttpMessage) => void) {
    this.#onMessage = onMessage;
  }

  /** Takes bytes as they come; calls back for each message that they complete. */
  push(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const end = bytes.indexOf(END_OF_HEAD);
      if (end === -1) break;
      const head = bytes.toString("latin1", 0, end);
      const start = end + END_OF_HEAD.length;
      const whole = isChunked(head)
        ? readChunks(bytes, start)
        : readLength(bytes, start, contentLength(head));
      if (whole === null) break;
      bytes = bytes.subarray(whole.end);
      this.#onMessage({ head, body: whole.body });
    }
    this.#rest = bytes;
  }
}

interface Body {
  readonly body: Buffer;
  /** Where the next message begins. */
  readonly end: number;
}

function contentLength(head: string): number {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) return Number(length);
  if (head.startsWith("HTTP/")) throw new Error("expected a response with a length, got none");
  return 0;
}

function isChunked(head: string): boolean {
  return /\r\ntransfer-encoding: *chunked/i.test(head);
}

function readLength(bytes: Buffer, start: number, length: number): Body | null {
  const end = start + length;
  return bytes.length < end ? null : { body: bytes.subarray(start, end), end };
}

function readChunks(bytes: Buffer, start: number): Body | null {
  const chunks: Buffer[] = [];
  let at = start;
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd === -1) return null;
    const length = parseInt(bytes.toString("latin1", at, lineEnd), 16);
    const next = lineEnd + 2 + length + 2;
    if (bytes.length < next) return null;
    if (length === 0) return { body: Buffer.concat(chunks), end: next };
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + length));
    at = next;
  }
}
