import type { Store } from "./store/store.ts";

/** How a playground homeserver behaves. */
export interface PlaygroundOptions {
  /** Port on loopback; 0 or absent: any free one. */
  readonly port?: number;
  /** The domain of user ids; default "playground". */
  readonly serverName?: string;
  /** What an earlier playground stored: a homeserver that was down and is up again. */
  readonly store?: Store;
  /** Largest timeline that a filter may ask for; -1: none. Synapse's default is 100. */
  readonly filterTimelineLimit?: number;
  /** Shared secret of /_synapse/admin/v1/register. */
  readonly registrationSharedSecret?: string;
  /** Lifetime of refreshable access tokens; default 5 minutes, as Synapse. */
  readonly accessTokenLifetimeMs?: number;
  /** First pause before an appservice that failed is tried again; doubles up to 256 times of it. Default 2000. */
  readonly appserviceRetryMs?: number;
  /** Largest upload that /media/config names; default 50 MiB. Larger ones are answered 413. */
  readonly maxUploadBytes?: number;
}

/** The options with their defaults. */
export type PlaygroundSettings = Required<Omit<PlaygroundOptions, "store">>;

/** Fills in the defaults. */
export function withDefaults(options: PlaygroundOptions): PlaygroundSettings {
  return {
    port: options.port ?? 0,
    serverName: options.serverName ?? "playground",
    filterTimelineLimit: options.filterTimelineLimit ?? 100,
    registrationSharedSecret: options.registrationSharedSecret ?? "playground-secret",
    accessTokenLifetimeMs: options.accessTokenLifetimeMs ?? 300_000,
    appserviceRetryMs: options.appserviceRetryMs ?? 2000,
    maxUploadBytes: options.maxUploadBytes ?? 50 * 1024 * 1024,
  };
}
