import type { Logger } from "pino";

import { loadSettings } from "../proxy/config/load.ts";
import type { LogLevel, Settings } from "../proxy/config/settings.ts";
import type { DaemonOptions, RunningDaemon } from "../proxy/main.ts";
import { createLogger } from "../proxy/observe/logger.ts";
import type { Output } from "./output.ts";
import { failuresOf, printFailures } from "./output.ts";
import { version } from "./version.ts";

/** Options of the command line. */
export interface RunOptions {
  readonly configPath: string | undefined;
  readonly logLevel: LogLevel | undefined;
  readonly json: boolean;
}

/** What the command has to do with the process it runs in. */
export interface Host {
  readonly signals: Pick<NodeJS.EventEmitter, "on" | "off">;
  /** Ends the process at once. */
  readonly exit: (exitCode: number) => void;
  readonly start: (o: DaemonOptions) => Promise<RunningDaemon>;
  readonly makeLogger: typeof createLogger;
}

const thisProcess: Host = {
  signals: process,
  exit: (exitCode) => process.exit(exitCode),
  makeLogger: createLogger,
  // Only here: the other commands need neither the cryptography nor the time to load it.
  start: async (o) => (await import("../proxy/main.ts")).runDaemon(o),
};

/**
 * Runs the daemon until SIGTERM or SIGINT, then stops it in order; a second signal ends the process at
 * once. SIGHUP reads the configuration again and takes over its log level. Returns the exit code.
 */
export async function run(
  options: RunOptions,
  output: Output,
  host: Host = thisProcess,
): Promise<number> {
  const load = () => {
    const loaded = loadSettings({ configPath: options.configPath, env: output.env });
    return { ...loaded, settings: withOptions(loaded.settings, options) };
  };
  try {
    const { settings, configPath } = load();
    const logger = host.makeLogger({ level: settings.logLevel, format: settings.logFormat });
    logger.info({ version: version(), config: configPath }, "starting");
    for (const { level, message } of settings.notices) logger[level](message);
    const reload = () => new Promise<Settings>((resolve) => resolve(load().settings));
    return await runUntilSignal(host, { settings, configPath, logger, reload });
  } catch (error) {
    printFailures(output, failuresOf(error));
    return 1;
  }
}

async function runUntilSignal(host: Host, o: DaemonOptions): Promise<number> {
  const { logger } = o;
  const stop = new AbortController();
  const onStop = () => {
    if (stop.signal.aborted) {
      logger.warn("second signal: ending at once");
      host.exit(1);
      return;
    }
    logger.info("stopping; a second signal ends at once");
    stop.abort();
  };
  const stopAsked = new Promise<void>((resolve) => {
    stop.signal.addEventListener("abort", () => resolve());
  });
  // Node itself would print the error with everything that hangs on it, tokens and messages too.
  const onCrash = (error: unknown) => {
    logger.fatal({ err: error }, "ending at once: this is a mistake in kirjava");
    host.exit(1);
  };
  const onReload = () => void reloadLevel(logger, o.reload);
  // Before the start, so that a signal while it starts does not cut it off half-way.
  host.signals.on("SIGTERM", onStop);
  host.signals.on("SIGINT", onStop);
  host.signals.on("SIGHUP", onReload);
  host.signals.on("uncaughtException", onCrash);
  try {
    const daemon = await host.start(o);
    for (const { section, url } of daemon.addresses) {
      const settings = o.settings.sections.find(({ name }) => name === section);
      const { homeserver, dataDirectory } = settings ?? {};
      logger.info({ section, url, homeserver: homeserver?.href, dataDirectory }, "listening");
    }
    await Promise.race([stopAsked, daemon.finished]);
    if (stop.signal.aborted) await daemon.stop();
    logger.info("stopped");
    return 0;
  } finally {
    host.signals.off("SIGTERM", onStop);
    host.signals.off("SIGINT", onStop);
    host.signals.off("SIGHUP", onReload);
    host.signals.off("uncaughtException", onCrash);
  }
}

async function reloadLevel(logger: Logger, reload: () => Promise<Settings>): Promise<void> {
  try {
    const { logLevel } = await reload();
    logger.level = logLevel;
    logger.info({ logLevel }, "read the configuration again: the log level is taken over, no more");
  } catch (error) {
    for (const { message, hint } of failuresOf(error)) {
      logger.error({ hint }, `the configuration is wrong, everything stays as it was: ${message}`);
    }
  }
}

function withOptions(settings: Settings, options: RunOptions): Settings {
  return {
    ...settings,
    logLevel: options.logLevel ?? settings.logLevel,
    logFormat: options.json ? "json" : settings.logFormat,
  };
}
