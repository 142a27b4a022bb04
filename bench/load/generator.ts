/** The load generator, in a process of its own: takes jobs from the benchmark, one at a time, and answers with results. */
import { connect, type Socket } from "node:net";
import { MessageReader } from "../wire/message-reader.ts";
import type { Job, JobResult } from "./job.ts";

/** A request that takes longer fails the job: no run is without an end. */
const LATE_MS = 60_000;
let transactions = 0;

function request(job: Job, target: string): string {
  transactions += 1;
  const { host } = new URL(job.url);
  const lines = [
    `${job.method} ${target.replace("{txn}", `bench-${process.pid}-${transactions}`)} HTTP/1.1`,
    `host: ${host}`,
    `authorization: Bearer ${job.token}`,
  ];
  if (job.body !== "") {
    lines.push("content-type: application/json", `content-length: ${Buffer.byteLength(job.body)}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n${job.body}`;
}

function occurrences(body: Buffer, text: string): number {
  let found = 0;
  for (let at = body.indexOf(text); at !== -1; at = body.indexOf(text, at + 1)) found += 1;
  return found;
}

async function open(job: Job): Promise<Socket> {
  const { hostname, port } = new URL(job.url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return socket;
}

async function run(job: Job): Promise<JobResult> {
  const sockets: Socket[] = [];
  for (let i = 0; i < job.inFlight; i += 1) sockets.push(await open(job));
  const latencies: number[] = [];
  let left = job.count;
  let found = 0;
  const start = performance.now();
  const work = sockets.map(
    (socket, index) =>
      new Promise<void>((resolve, reject) => {
        const target = job.targets[index % job.targets.length] ?? "/";
        let sentAt = 0;
        const next = (): void => {
          if (left === 0) {
            resolve();
            return;
          }
          left -= 1;
          sentAt = performance.now();
          socket.write(request(job, target));
        };
        const reader = new MessageReader(({ head, body }) => {
          latencies.push(performance.now() - sentAt);
          if (!head.startsWith("HTTP/1.1 200")) {
            reject(new Error(`expected 200, got ${head.slice(0, 60)}: ${body.toString("utf8")}`));
            return;
          }
          if (job.countIn !== null) found += occurrences(body, job.countIn);
          next();
        });
        socket.setTimeout(LATE_MS, () => socket.destroy(new Error("a request got no answer")));
        socket.on("data", (chunk) => {
          try {
            reader.push(chunk);
          } catch (error) {
            reject(new Error("expected HTTP/1.1", { cause: error }));
          }
        });
        socket.on("error", reject);
        socket.on("close", () => reject(new Error("the connection was closed")));
        next();
      }),
  );
  try {
    await Promise.all(work);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  const elapsedMs = performance.now() - start;
  const sorted = latencies.sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? NaN;
  return { elapsedMs, p50Ms: at(0.5), p99Ms: at(0.99), found };
}

process.on("message", (job: Job) => {
  run(job).then(
    (result) => process.send?.({ result }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.on("disconnect", () => process.exit(0));
