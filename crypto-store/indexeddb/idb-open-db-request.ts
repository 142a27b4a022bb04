import type { EventHandler, EventNode } from "./event.ts";
import { IDBRequest } from "./idb-request.ts";
import type { IDBVersionChangeEvent } from "./idb-version-change-event.ts";

/** @see https://www.w3.org/TR/IndexedDB/#request-api */
export class IDBOpenDBRequest extends IDBRequest {
  onblocked: EventHandler<IDBVersionChangeEvent> = null;
  onupgradeneeded: EventHandler<IDBVersionChangeEvent> = null;

  /** @internal */
  constructor() {
    super(null, null);
  }

  /** Events of an open request go no further. @internal */
  override get parentNode(): EventNode | null {
    return null;
  }

  /** @internal */
  override handlerFor(type: string): EventHandler {
    if (type === "upgradeneeded") return this.onupgradeneeded as EventHandler;
    if (type === "blocked") return this.onblocked as EventHandler;
    return super.handlerFor(type);
  }
}
