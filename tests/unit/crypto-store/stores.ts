import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IDBDatabase } from "../../../crypto-store/indexeddb/idb-database.ts";
import { IDBFactory } from "../../../crypto-store/indexeddb/idb-factory.ts";
import type { IDBRequest } from "../../../crypto-store/indexeddb/idb-request.ts";
import type { IDBTransaction } from "../../../crypto-store/indexeddb/idb-transaction.ts";
import { DeviceStore, StoreError, type StoreErrorCode } from "../../../crypto-store/index.ts";

export const KEY: Uint8Array = new Uint8Array(32).fill(7);

/** A directory of a test's own, removed when it is disposed of. */
export class Scratch {
  readonly path = mkdtempSync(join(tmpdir(), "kirjava-store-"));

  file(name = "device.db"): string {
    return join(this.path, name);
  }

  open(mode: "create" | "existing", name = "device.db", key = KEY): DeviceStore {
    return DeviceStore.open({ path: this.file(name), key, mode, migrations: [] });
  }

  /** All bytes of all files in the directory. */
  bytes(): Buffer {
    return Buffer.concat(readdirSync(this.path).map((name) => readFileSync(join(this.path, name))));
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}

/** What a request comes to. */
export function settled(request: IDBRequest): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("no error"));
  });
}

/** Resolves when the transaction has completed. */
export function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
  });
}

/** Opens database "db" at version 1 with an object store "things". */
export async function openThings(store: DeviceStore): Promise<IDBDatabase> {
  const request = new IDBFactory().open(`${store.mountName}::db`, 1);
  request.onupgradeneeded = () => {
    (request.result as IDBDatabase).createObjectStore("things");
  };
  return (await settled(request)) as IDBDatabase;
}

/** The error code that opening a store fails with. */
export function failureOf(work: () => unknown): { code: StoreErrorCode; message: string } | null {
  try {
    work();
    return null;
  } catch (error) {
    if (error instanceof StoreError) return { code: error.code, message: error.message };
    throw error;
  }
}
