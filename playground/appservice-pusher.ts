import type { Store } from "./store/store.ts";

/** Pushes transactions to appservices. */
export class AppservicePusher {
  readonly store: Store;
  readonly retryMs: number;

  constructor(store: Store, retryMs: number) {
    this.store = store;
    this.retryMs = retryMs;
  }

  /** Ends all pushing. */
  stop(): void {
    this.store.appservices.byId.clear();
  }
}
