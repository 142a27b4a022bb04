import { StoreEvent } from "./event.ts";

/** @see https://www.w3.org/TR/IndexedDB/#events */
export class IDBVersionChangeEvent extends StoreEvent {
  readonly oldVersion: number;
  readonly newVersion: number | null;

  constructor(
    type: string,
    versions: { readonly oldVersion?: number; readonly newVersion?: number | null } = {},
  ) {
    super(type);
    this.oldVersion = versions.oldVersion ?? 0;
    this.newVersion = versions.newVersion ?? null;
  }
}
