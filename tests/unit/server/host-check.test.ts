import { expect, it } from "vitest";
import { isOwnHost, ownNames } from "../../../proxy/host-check.ts";

it.each<[string, string, string[], boolean]>([
  ["localhost", "127.0.0.1", [], true],
  ["localhost.:80", "127.0.0.1", [], true],
  ["127.1.2.3", "127.0.0.1", [], true],
  ["[::1]", "::1", [], true],
  ["192.0.2.7:8009", "192.0.2.7", [], true],
  ["[2001:DB8::1]:80", "2001:db8::1", [], true],
  ["kirjava:8009", "127.0.0.1", ["Kirjava"], true],
  ["192.0.2.7", "0.0.0.0", [], true],
  ["[2001:db8::1]", "::", [], true],
  ["evil.example", "0.0.0.0", [], false],
  ["evil.example", "127.0.0.1", ["kirjava"], false],
  ["192.0.2.7", "127.0.0.1", [], false],
  ["127.0.0.1.example", "127.0.0.1", [], false],
  ["127.0.0.1@evil.example", "127.0.0.1", [], false],
  ["localhost@evil.example", "127.0.0.1", [], false],
  ["evil.example/x.localhost", "127.0.0.1", [], false],
  ["evil.example:80@x.localhost", "127.0.0.1", [], false],
  ["evil.example?x.localhost", "127.0.0.1", [], false],
  ["", "127.0.0.1", [], false],
])("Host %s on %s, configured %j: %s", (host, listenAddress, configured, expected) => {
  expect(isOwnHost(host, ownNames(listenAddress, configured))).toBe(expected);
});
