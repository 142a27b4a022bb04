import { enforceRange } from "../algorithms/enforce-range.ts";
import { openDatabase, settleOpenRequest } from "../algorithms/open-database.ts";
import { findMount, MOUNT_SEPARATOR } from "../mounts.ts";
import { IDBOpenDBRequest } from "./idb-open-db-request.ts";
import { refuseMethods } from "./refuse.ts";

/**
 * Opens databases in mounted device files: `<mount name>::<database name>`.
 *
 * @see https://www.w3.org/TR/IndexedDB/#factory-interface
 */
export class IDBFactory {
  /**
   * The request fails with `NotFoundError` when no device store is mounted under that name, with `VersionError` when the
   * database has a higher version.
   *
   * @throws TypeError for a version below 1.
   */
  open(name: string, version?: unknown): IDBOpenDBRequest {
    const wanted =
      version === undefined
        ? undefined
        : enforceRange(version, 1, Number.MAX_SAFE_INTEGER, "a database version");
    const request = new IDBOpenDBRequest();
    const end = name.indexOf(MOUNT_SEPARATOR);
    const backend = end === -1 ? undefined : findMount(name.slice(0, end));
    if (backend === undefined) {
      setImmediate(() => {
        settleOpenRequest(
          request,
          new DOMException(
            `no device store is mounted for database "${name}": open it and prefix the name with its mountName`,
            "NotFoundError",
          ),
        );
      });
      return request;
    }
    const openable = backend.openable(name.slice(end + MOUNT_SEPARATOR.length));
    openDatabase({ backend, openable, name, version: wanted, request });
    return request;
  }
}

refuseMethods(IDBFactory, ["deleteDatabase", "databases", "cmp"]);
