import { readdirSync, readFileSync } from "node:fs";

/** Processor time that a process has used so far, in milliseconds. */
export interface Usage {
  readonly totalMs: number;
  /** Of that, the main thread's share. */
  readonly mainMs: number;
}

/**
 * Reads what all threads of a process have used, in nanoseconds' resolution. Linux only.
 *
 * @throws where there is no such process
 */
export function usageOf(pid: number): Usage {
  let totalMs = 0;
  let mainMs = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const spent = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ", 1);
    const threadMs = Number(spent[0]) / 1e6;
    totalMs += threadMs;
    if (thread === String(pid)) mainMs = threadMs;
  }
  return { totalMs, mainMs };
}

/** Resident memory of a process in MB (10^6 bytes): now, and at its highest. Linux only. */
export function memoryOf(pid: number): { readonly nowMb: number; readonly peakMb: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const read = (name: string): number => {
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1];
    return (Number(kib) * 1024) / 1e6;
  };
  return { nowMb: read("VmRSS"), peakMb: read("VmHWM") };
}
