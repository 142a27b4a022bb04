import { describe, expect, it } from "vitest";
import { SerialQueue, SharedRun } from "../../proxy/serial.ts";
import { type Deferred, deferred } from "./server/front.ts";

describe("SerialQueue", () => {
  it("starts a job only after the one before has settled, however it settled", async () => {
    const queue = new SerialQueue();
    const gate = deferred<undefined>();
    const log: string[] = [];
    const first = queue.run(async () => {
      log.push("first starts");
      await gate.promise;
      log.push("first fails");
      throw new Error("boom");
    });
    const second = queue.run(() => {
      log.push("second");
      return Promise.resolve(2);
    });
    const failed = expect(first).rejects.toThrow("boom");
    await Promise.resolve();
    expect(log).toEqual(["first starts"]);
    gate.resolve(undefined);
    await failed;
    expect(await second).toBe(2);
    expect(log).toEqual(["first starts", "first fails", "second"]);
  });

  it("keeps going after a job that throws before its first await", async () => {
    const queue = new SerialQueue();
    const failing = queue.run(() => {
      throw new Error("at once");
    });
    await expect(failing).rejects.toThrow("at once");
    expect(await queue.run(() => Promise.resolve("on"))).toBe("on");
  });
});

/** A run whose ends the test decides. */
class Runs {
  readonly started: Deferred<number>[] = [];
  readonly shared = new SharedRun(() => {
    const run = deferred<number>();
    this.started.push(run);
    return run.promise;
  });

  end(index: number): void {
    this.started[index]?.resolve(index);
  }
}

describe("SharedRun", () => {
  it("never gives a caller a run that had started before it came", async () => {
    const runs = new Runs();
    const first = runs.shared.run();
    const second = runs.shared.run();
    expect(runs.started).toHaveLength(1);
    runs.end(0);
    expect(await first).toBe(0);
    await new Promise(setImmediate);
    expect(runs.started).toHaveLength(2);
    runs.end(1);
    expect(await second).toBe(1);
  });

  it("makes one run for all who wait", async () => {
    const runs = new Runs();
    const first = runs.shared.run();
    const waiting = [runs.shared.run(), runs.shared.run(), runs.shared.run()];
    runs.end(0);
    await first;
    await new Promise(setImmediate);
    runs.end(1);
    expect(await Promise.all(waiting)).toEqual([1, 1, 1]);
    expect(runs.started).toHaveLength(2);
  });

  it("holds for callers that come while a run ends", async () => {
    const runs = new Runs();
    const seen: Promise<void>[] = [];
    const call = (): void => {
      const startedBefore = runs.started.length;
      seen.push(
        runs.shared.run().then((index) => {
          expect(index).toBeGreaterThanOrEqual(startedBefore);
        }),
      );
    };
    call();
    call();
    runs.end(0);
    // One call in each of the microtasks around the end of the first run.
    for (let tick = 0; tick < 12; tick++) {
      call();
      await Promise.resolve();
    }
    for (let index = 1; index < 20; index++) {
      runs.end(index);
      await new Promise(setImmediate);
    }
    await Promise.all(seen);
    expect(seen).toHaveLength(14);
  });

  it("gives a failure to those who waited for that run, and starts anew for the rest", async () => {
    let runs = 0;
    const gate = deferred<undefined>();
    const shared = new SharedRun(async () => {
      runs += 1;
      if (runs > 1) return runs;
      await gate.promise;
      throw new Error("first run");
    });
    const first = shared.run();
    const second = shared.run();
    gate.resolve(undefined);
    await expect(first).rejects.toThrow("first run");
    expect(await second).toBe(2);
    expect(await shared.run()).toBe(3);
  });
});
