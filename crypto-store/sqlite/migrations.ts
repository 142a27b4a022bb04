import type { Database } from "better-sqlite3";
import { StoreError } from "../errors.ts";

/** One step of a schema. Steps are applied in the order of their versions and never changed once released. */
export interface Migration {
  /** The value of `PRAGMA user_version` after this step, from 1 upwards. */
  readonly version: number;
  readonly sql: string;
}

/**
 * Brings the schema of an open database up to the newest of `migrations`, in one transaction.
 *
 * @throws StoreError `STORE_TOO_NEW` when a newer program wrote the file.
 */
export function migrate(database: Database, path: string, migrations: readonly Migration[]): void {
  const steps = [...migrations].sort((a, b) => a.version - b.version);
  const newest = steps.at(-1)?.version ?? 0;
  const current = Number(database.pragma("user_version", { simple: true }));
  if (current > newest) {
    throw new StoreError(
      "STORE_TOO_NEW",
      path,
      `has schema version ${current}, this program knows versions up to ${newest}: run the newer program, or restore a backup made before it`,
    );
  }
  if (current === newest) return;
  database.transaction(() => {
    for (const step of steps) {
      if (step.version <= current) continue;
      database.exec(step.sql);
      database.pragma(`user_version = ${step.version}`);
    }
  })();
}
