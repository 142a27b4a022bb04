import { isIP } from "node:net";
import { isLoopback } from "./homeserver/homeserver.ts";

/** A name or an address, and a port. */
const HOST = /^(?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d*)?$/i;

/**
 * Whether a request's Host names this daemon. A web page whose domain was rebound to 127.0.0.1 still sends its own domain here, so a
 * foreign *name* is refused: names of this machine, the address listened on, and configured names are taken.
 *
 * @param host - the Host header, with or without a port
 * @param names - configured host names and the listen address, lower case, without a port
 */
export function isOwnHost(host: string | undefined, names: ReadonlySet<string>): boolean {
  // The answers to a login name it as the address to use: a path or a user name in it would make that another server's.
  if (host === undefined || !HOST.test(host)) return false;
  const name = host.replace(/:\d*$/, "").toLowerCase().replace(/\.$/, "");
  if (isLoopback(name) || names.has(name)) return true;
  // Listening on every address there is no saying which of them is meant; an address cannot be rebound anyway.
  const listensEverywhere = names.has("0.0.0.0") || names.has("[::]");
  return listensEverywhere && isIP(name.replace(/^\[|\]$/g, "")) !== 0;
}

/** The names for {@link isOwnHost}: IPv6 addresses in brackets, as Host has them. */
export function ownNames(
  listenAddress: string,
  configured: readonly string[],
): ReadonlySet<string> {
  const bracketed = (name: string): string => (isIP(name) === 6 ? `[${name}]` : name);
  return new Set([listenAddress, ...configured].map((name) => bracketed(name.toLowerCase())));
}
