/**
 * Positions as clients hold them: the homeserver's token, and behind it Kirjava's cursor where
 * something is owed to whoever holds the position. Tokens are opaque to clients.
 */
export interface SyncToken {
  readonly upstream: string;
  readonly cursor: number | null;
}

const marked = /^(.*)~k(0|[1-9]\d{0,14})$/s;

/** Splits a position that a client presents. */
export function parseSyncToken(token: string): SyncToken {
  const match = marked.exec(token);
  if (match === null) return { upstream: token, cursor: null };
  // Cursors start at 1: zero says that what stands before it is all the homeserver's.
  return { upstream: match[1] ?? "", cursor: Number(match[2]) || null };
}

/** Puts a position together for a client. */
export function formatSyncToken(token: SyncToken): string {
  if (token.cursor === null && !marked.test(token.upstream)) return token.upstream;
  return `${token.upstream}~k${token.cursor ?? 0}`;
}
