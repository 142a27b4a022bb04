import { randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { expect } from "vitest";
import { StoreError } from "../../../crypto-store/index.ts";
import { SectionDatabase } from "../../../proxy/accounts/section-database.ts";
import type { Clock } from "../../../proxy/clock.ts";
import type { MasterKey } from "../../../proxy/config/store-key.ts";
import type { DeviceAddress, DeviceId, UserId } from "../../../proxy/matrix/identifiers.ts";

export const silent = pino({ level: "silent" });

/** A place for one section's data and, apart from it, for what lies beside the master key. */
export class Place {
  readonly root = mkdtempSync(join(tmpdir(), "kirjava-section-"));
  readonly data = join(this.root, "data");
  readonly master = this.newMaster("master");

  newMaster(name: string): MasterKey {
    return { bytes: randomBytes(32), generationPath: join(this.root, `${name}.generation`) };
  }

  open(master: MasterKey = this.master): SectionDatabase {
    return SectionDatabase.open({ directory: this.data, master, logger: silent });
  }

  /** Copies the data as it lies on disk now: what a kill at this moment would leave. */
  image(name: string): string {
    const to = join(this.root, name);
    cpSync(this.data, to, { recursive: true, filter: (path) => !path.endsWith(".lock") });
    return to;
  }

  /** Puts a copy in the place of the data. */
  putBack(image: string): void {
    rmSync(this.data, { recursive: true, force: true });
    cpSync(image, this.data, { recursive: true });
  }

  /** Copies data and generation records; the returned function puts all of it back. */
  moment(): () => void {
    const image = this.image("moment");
    const records = this.#records().map((path) => [path, readFileSync(path)] as const);
    return () => {
      this.putBack(image);
      for (const path of this.#records()) rmSync(path);
      for (const [path, bytes] of records) writeFileSync(path, bytes);
    };
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  #records(): string[] {
    return readdirSync(this.root)
      .filter((name) => name.endsWith(".generation"))
      .map((name) => join(this.root, name));
  }
}

/** A clock that stands until it is moved. */
export class ManualClock implements Clock {
  nowMs = 1_700_000_000_000;
  now(): number {
    return this.nowMs;
  }
  after(): () => void {
    throw new Error("expected no timer");
  }
}

export const address = (userId: string, deviceId: string): DeviceAddress => ({
  userId: userId as UserId,
  deviceId: deviceId as DeviceId,
});

/** The {@link StoreError} that an action fails with. */
export function storeErrorOf(action: () => unknown): StoreError {
  let caught: unknown = null;
  try {
    action();
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(StoreError);
  return caught as StoreError;
}
