/**
 * Positions as clients hold them: the homeserver's token, and behind it Kirjava's cursor where
 * something is owed to whoever holds the position. Tokens are opaque to clients.
 */
export interface SyncToken {
  readonly upstream: string;
  readonly cursor: number | null;
}

const marked = /^(.*)~k([1-9]\d{0,14})$/s;

/** Splits a position that a client presents. */
export function parseSyncToken(token: string): SyncToken {
  const match = marked.exec(token);
  if (match === null) return { upstream: token, cursor: null };
  return { upstream: match[1] ?? "", cursor: Number(match[2]) };
}

/** Puts a position together for a client. */
export function formatSyncToken(token: SyncToken): string {
  return token.cursor === null ? token.upstream : `${token.upstream}~k${token.cursor}`;
}
