import type { AppservicePusher } from "../appservice-pusher.ts";
import type { PlaygroundSettings } from "../options.ts";
import type { Store } from "../store/store.ts";

/** What every endpoint family is given. */
export interface ApiContext {
  readonly store: Store;
  readonly url: string;
  readonly settings: PlaygroundSettings;
  readonly pusher: AppservicePusher;
}
