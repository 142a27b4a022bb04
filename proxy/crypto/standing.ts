import type { DeviceStore } from "../../crypto-store/index.ts";
import type { DeviceOpening, Ownership } from "./protocol.ts";

/** Where a device's store stands when it is opened. */
export interface Standing {
  readonly ownership: Ownership;
  readonly generation: number;
}

/**
 * Reads whose the keys are, and notices a store that is older than the last one used. The number in
 * the file is raised here; the section's database is told afterwards, so that a crash in between
 * leaves the file ahead, which is no sign of an old copy.
 */
export function readStanding(store: DeviceStore, opening: DeviceOpening): Promise<Standing> {
  return store.transaction((database) => {
    const value = (name: string) =>
      database.prepare("SELECT value FROM session_value WHERE name = ?").pluck().get(name);
    const set = database.prepare(
      "INSERT OR REPLACE INTO session_value (name, value) VALUES (?, ?)",
    );
    const stored = value("generation") ?? 0;
    const known = value("ownership");
    if (opening.foreign) return { ownership: "foreign", generation: opening.generation };
    if (opening.rolledBack) return { ownership: "rolled-back", generation: opening.generation };
    if (typeof stored !== "number" || stored < opening.generation) {
      set.run("ownership", "rolled-back");
      return { ownership: "rolled-back", generation: opening.generation };
    }
    set.run("generation", stored + 1);
    const settled = known === "ours" || known === "foreign" || known === "rolled-back";
    return { ownership: settled ? known : "unknown", generation: stored + 1 };
  });
}
