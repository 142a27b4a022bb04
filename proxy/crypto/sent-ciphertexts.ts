import { createHash } from "node:crypto";

/** How many transactions of a room are remembered. */
const maxRemembered = 64;
/**
 * For how long: well below the half hour after which Synapse forgets a transaction and takes its id for a new event. The same
 * message index under two event ids is a replay to everybody who reads it.
 */
const retryMs = 5 * 60_000;

/** One send, as its client asked for it. */
export interface SentBefore {
  readonly eventType: string;
  readonly content: string;
  /** The share under which it is, or was, encrypted. */
  readonly share: object;
}

interface Sent {
  /** Of the plaintext nothing is kept. */
  readonly digest: string;
  readonly share: object;
  readonly text: string;
  readonly atMs: number;
}

/**
 * Ciphertexts by transaction id, so that a client's retry (after a rate limit, say) is the same
 * ciphertext again and uses up no message index. Only as long as the room key went to nobody new:
 * they could not read the old index.
 */
export class SentCiphertexts {
  readonly #sent = new Map<string, Sent>();

  /** The ciphertext of this very send, or `null`. */
  find(txnId: string | null, send: SentBefore, nowMs: number): string | null {
    const sent = txnId === null ? undefined : this.#sent.get(txnId);
    if (sent?.share !== send.share || nowMs - sent.atMs >= retryMs) return null;
    return sent.digest === digestOf(send) ? sent.text : null;
  }

  /** Remembers a ciphertext; what is too old, or too much, is forgotten. */
  remember(txnId: string | null, send: SentBefore, text: string, nowMs: number): void {
    if (txnId === null) return;
    this.#sent.delete(txnId);
    this.#sent.set(txnId, { digest: digestOf(send), share: send.share, text, atMs: nowMs });
    for (const [oldest, { atMs }] of this.#sent) {
      if (this.#sent.size <= maxRemembered && nowMs - atMs < retryMs) break;
      this.#sent.delete(oldest);
    }
  }
}

function digestOf({ eventType, content }: SentBefore): string {
  return createHash("sha256")
    .update(JSON.stringify([eventType, content]))
    .digest("base64");
}
