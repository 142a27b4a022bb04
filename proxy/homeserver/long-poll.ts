/** Longest wait that a client may ask of the homeserver on top of the upstream timeout. */
const MAX_LONG_POLL_MS = 10 * 60_000;

/**
 * How long the homeserver may lawfully stay silent beyond the usual timeout: the `timeout` that a long poll asks for, in milliseconds.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#get_matrixclientv3sync
 */
export function longPollMs(target: string): number {
  const asked = /[?&]timeout=(\d{1,12})(?:&|$)/.exec(target)?.[1];
  return asked === undefined ? 0 : Math.min(Number(asked), MAX_LONG_POLL_MS);
}
