import type { Backend, OpenableDatabase } from "../backend.ts";
import { StoreEvent } from "../indexeddb/event.ts";
import { IDBDatabase } from "../indexeddb/idb-database.ts";
import type { IDBOpenDBRequest } from "../indexeddb/idb-open-db-request.ts";
import { IDBVersionChangeEvent } from "../indexeddb/idb-version-change-event.ts";
import type { DatabaseEntry } from "../sqlite/catalog.ts";
import { fireEvent } from "./fire-event.ts";
import { upgradeDatabase } from "./upgrade-database.ts";

/** One call of `indexedDB.open`. */
export interface OpenCall {
  readonly backend: Backend;
  readonly openable: OpenableDatabase;
  /** The name as the caller knows it. */
  readonly name: string;
  readonly version: number | undefined;
  readonly request: IDBOpenDBRequest;
}

/**
 * Opens a database, after the requests for the same name that came before.
 *
 * @see https://www.w3.org/TR/IndexedDB/#open-a-database-connection
 */
export function openDatabase(call: OpenCall): void {
  const queue = call.openable.openQueue;
  const run = (): void => {
    setImmediate(() => {
      // Unreadable pages show here, when the names are first read.
      try {
        open(call, done);
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        done(new DOMException(`${call.backend.path}: ${reason}`, { name: "UnknownError", cause }));
      }
    });
  };
  const done = (outcome: IDBDatabase | DOMException): void => {
    queue.shift();
    queue[0]?.();
    settleOpenRequest(call.request, outcome);
  };
  queue.push(run);
  if (queue.length === 1) run();
}

/** Ends an open request with the connection or with an error. */
export function settleOpenRequest(
  request: IDBOpenDBRequest,
  outcome: IDBDatabase | DOMException,
): void {
  if (outcome instanceof IDBDatabase) {
    request.settle(outcome, null);
    fireEvent(new StoreEvent("success"), request);
  } else {
    request.settle(undefined, outcome);
    fireEvent(new StoreEvent("error", { bubbles: true, cancelable: true }), request);
  }
}

function open(call: OpenCall, done: (outcome: IDBDatabase | DOMException) => void): void {
  const { backend, openable, name } = call;
  if (backend.isClosing) {
    done(new DOMException(`${backend.path} is being closed`, "InvalidStateError"));
    return;
  }
  const current = openable.entry?.version ?? 0;
  const version = call.version ?? (current === 0 ? 1 : current);
  if (current > version) {
    done(
      new DOMException(
        `expected version ${version}, the database has version ${current}`,
        "VersionError",
      ),
    );
    return;
  }
  const entry: DatabaseEntry = openable.entry ?? {
    id: 0,
    name: openable.name,
    version: 0,
    stores: new Map(),
  };
  const others = [...openable.connections];
  openable.entry = entry;
  const connection = new IDBDatabase(backend, openable, entry, name);
  openable.connections.add(connection);
  if (current === version) {
    done(connection);
    return;
  }
  const versions = { oldVersion: current, newVersion: version };
  whenClosed(others, call.request, versions, () =>
    upgradeDatabase(connection, version, call.request, done),
  );
}

/** Asks the other connections to close, and waits until they have. */
function whenClosed(
  others: readonly IDBDatabase[],
  request: IDBOpenDBRequest,
  versions: { readonly oldVersion: number; readonly newVersion: number },
  proceed: () => void,
): void {
  if (others.length === 0) {
    proceed();
    return;
  }
  let waitingFor = others.length;
  for (const other of others) {
    other.onClosed.push(() => {
      waitingFor -= 1;
      if (waitingFor === 0) setImmediate(proceed);
    });
    if (other.isClosePending) continue;
    setImmediate(() => {
      if (!other.isClosePending)
        fireEvent(new IDBVersionChangeEvent("versionchange", versions), other);
    });
  }
  setImmediate(() => {
    if (others.every((other) => other.isClosePending)) return;
    fireEvent(new IDBVersionChangeEvent("blocked", versions), request);
  });
}
