/**
 * The crypto store: encrypted SQLite files, and IndexedDB in them for the crypto engine. Nothing else of this folder is meant
 * to be imported from outside.
 */
export { DeviceStore, type DeviceStoreOptions, type Write } from "./device-store.ts";
export { StoreError, type StoreErrorCode } from "./errors.ts";
export { installIndexedDB } from "./install.ts";
export { describeError, openDatabase, type DatabaseOptions } from "./sqlite/connection.ts";
export { DirectoryLock } from "./sqlite/directory-lock.ts";
export type { Migration } from "./sqlite/migrations.ts";
