import type { Row } from "./workload.ts";

/** One job's outcome, per operation. */
export interface Sample {
  readonly perSecond: number;
  readonly p50Ms: number;
  /** Processor time of the proxy for one operation; null where it is not known. */
  readonly cpuMs: number | null;
  /** The share of its main thread, between 0 and 1. */
  readonly mainShare: number | null;
}

/** The middle value; of an even number of values the upper of the two in the middle. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** The table: a line for each row and each way to go, medians of the rounds. */
export function table(
  rows: readonly Row[],
  samples: ReadonlyMap<string, readonly Sample[]>,
): string {
  const lines: string[][] = [
    [
      "row",
      "way",
      "per second",
      "best round",
      "p50 ms",
      "CPU ms",
      "main thread",
      "pantalaimon",
      "ratio",
    ],
  ];
  for (const row of rows) {
    for (const [key, of] of samples) {
      const [name, way = ""] = key.split("\n");
      if (name !== row.name || of.length === 0) continue;
      const perSecond = median(of.map((sample) => sample.perSecond));
      const known = of.filter((sample) => sample.cpuMs !== null);
      const cpuMs = median(known.map((sample) => sample.cpuMs ?? 0));
      const main = median(known.map((sample) => sample.mainShare ?? 0));
      const isDirect = way === "direct";
      lines.push([
        row.name,
        way,
        perSecond.toFixed(0),
        Math.max(...of.map((sample) => sample.perSecond)).toFixed(0),
        median(of.map((sample) => sample.p50Ms)).toFixed(2),
        known.length === 0 ? "" : cpuMs.toFixed(3),
        known.length === 0 ? "" : `${(main * 100).toFixed(0)} %`,
        isDirect ? "" : `${row.pantalaimon.perSecond}`,
        isDirect ? "" : (perSecond / row.pantalaimon.perSecond).toFixed(2),
      ]);
    }
  }
  const widths =
    lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? [];
  return lines
    .map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`)
    .toSpliced(1, 0, `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`)
    .join("\n");
}
