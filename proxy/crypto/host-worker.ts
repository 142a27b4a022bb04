/** Entry of a session host's worker thread: calls in, outcomes out. */
import { parentPort, workerData } from "node:worker_threads";

import { systemClock } from "../clock.ts";
import { createLogger } from "../observe/logger.ts";
import { isTrap } from "./engine.ts";
import type { FromHost, HostStart, ToHost } from "./protocol.ts";
import { callHost, SessionHost } from "./session-host.ts";
import { reportOf } from "./suspects.ts";
import { toWireError } from "./wire-error.ts";

const port = parentPort;
if (port === null) throw new Error("expected to run in a worker thread");

const start = workerData as HostStart;
const logger = createLogger({
  level: start.logLevel as "info",
  format: start.logFormat,
});
const host = new SessionHost(start.sections, systemClock, logger);
const aborts = new Map<number, AbortController>();

function post(message: FromHost): void {
  port?.postMessage(message);
}

async function answer(message: Extract<ToHost, { kind: "call" }>): Promise<void> {
  const abort = new AbortController();
  aborts.set(message.id, abort);
  try {
    const value: unknown = await callHost(host, message.method, message.args, abort.signal);
    post({ kind: "result", id: message.id, value });
  } catch (error) {
    if (isTrap(error)) reportTrap(error);
    else post({ kind: "error", id: message.id, error: toWireError(error) });
  } finally {
    aborts.delete(message.id);
  }
}

/** Says which events were under way; whoever reads it ends this thread. */
function reportTrap(error: unknown): void {
  const reports = host.gate.underWay.map(({ device, events, alone }) => ({
    device,
    suspects: events.map((event) => reportOf(event, alone && events.length === 1)),
  }));
  logger.error({ err: error, underWay: reports.length }, "the encryption engine failed");
  post({ kind: "trap", reports });
}

// A panic inside the engine rejects no promise: it comes up here, and the call never settles.
process.on("uncaughtException", (error) => {
  if (!isTrap(error)) throw error;
  reportTrap(error);
});

port.on("message", (message: ToHost) => {
  switch (message.kind) {
    case "call":
      void answer(message);
      break;
    case "abort":
      aborts.get(message.id)?.abort();
      break;
    case "log-level":
      logger.level = message.level;
      break;
    case "stop":
      for (const abort of aborts.values()) abort.abort();
      void host
        .stop()
        .catch((error: unknown) => logger.error({ err: error }, "a key store did not close"))
        .then(() => {
          post({ kind: "stopped" });
          port.close();
        });
      break;
  }
});
post({ kind: "ready" });
