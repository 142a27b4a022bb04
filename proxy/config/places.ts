import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** Where this user's files are, after the XDG Base Directory Specification. Absolute paths. */
export interface Places {
  readonly home: string;
  readonly configHome: string;
  readonly dataHome: string;
}

/**
 * Reads the places from the environment. A relative `XDG_*` counts as not set, as the specification
 * says.
 *
 * @see https://specifications.freedesktop.org/basedir-spec/latest/
 */
export function placesOf(env: Readonly<Record<string, string | undefined>>): Places {
  const home = absolute(env["HOME"]) ?? homedir();
  return {
    home,
    configHome: absolute(env["XDG_CONFIG_HOME"]) ?? join(home, ".config"),
    dataHome: absolute(env["XDG_DATA_HOME"]) ?? join(home, ".local", "share"),
  };
}

function absolute(path: string | undefined): string | null {
  return path !== undefined && isAbsolute(path) ? path : null;
}

/** A path as configured (absolute, or beginning with `~/`) as an absolute one. */
export function expandHome(path: string, places: Places): string {
  return path.startsWith("~/") ? join(places.home, path.slice(2)) : join(path);
}

/** Where the configuration file is looked for, best first; the second is pantalaimon's own. */
export function defaultConfigFiles(places: Places): readonly [own: string, pantalaimon: string] {
  return [
    join(places.configHome, "kirjava", "kirjava.conf"),
    join(places.configHome, "pantalaimon", "pantalaimon.conf"),
  ];
}
