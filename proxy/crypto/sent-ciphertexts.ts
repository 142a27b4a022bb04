/** How many transactions of a room are remembered. */
const maxRemembered = 64;

interface Sent {
  readonly eventType: string;
  readonly content: string;
  readonly text: string;
  /** The share under which it was encrypted. */
  readonly share: object;
}

/**
 * Ciphertexts by transaction id, so that a client's retry (after a rate limit, say) is the same
 * ciphertext again and uses up no message index. Only as long as the room key went to nobody new:
 * they could not read the old index.
 */
export class SentCiphertexts {
  readonly #sent = new Map<string, Sent>();

  /** The ciphertext of this very send, or `null`. */
  find(txnId: string | null, eventType: string, content: string, share: object): string | null {
    const sent = txnId === null ? undefined : this.#sent.get(txnId);
    const same = sent?.eventType === eventType && sent.content === content && sent.share === share;
    return same ? sent.text : null;
  }

  /** Remembers a ciphertext; the oldest is forgotten. */
  remember(txnId: string | null, sent: Sent): void {
    if (txnId === null) return;
    this.#sent.delete(txnId);
    this.#sent.set(txnId, sent);
    if (this.#sent.size > maxRemembered) this.#sent.delete(this.#sent.keys().next().value ?? "");
  }
}
