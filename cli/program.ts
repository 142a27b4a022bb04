import { Command, CommanderError, Option } from "commander";

import type { LogLevel } from "../proxy/config/settings.ts";
import type { Output } from "./output.ts";
import { version } from "./version.ts";

/** Exit code of a wrong command line. */
const usage = 2;

/** Runs the command line and returns the exit code: 0 done, 1 failed, 2 wrong usage. */
export async function runProgram(args: readonly string[], output: Output): Promise<number> {
  let exitCode = 0;
  const program = makeProgram(output, (code) => (exitCode = code));
  try {
    await program.parseAsync([...args], { from: "user" });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : usage;
  }
}

/**
 * The commands, as they are documented. Each loads what it needs when it runs: help is at once.
 *
 * @param finish - called with the exit code of the command that ran
 */
export function makeProgram(output: Output, finish: (exitCode: number) => void): Command {
  const program = new Command("kirjava")
    .description("encryption-aware reverse proxy for Matrix")
    .version(version())
    .exitOverride()
    .showHelpAfterError("hint: kirjava --help lists commands and options")
    .configureOutput({ writeOut: output.out, writeErr: output.err });

  program
    .command("run")
    .description(
      "run the daemon in the foreground until SIGTERM or SIGINT; SIGHUP reloads LogLevel",
    )
    .addOption(configOption())
    .addOption(
      new Option("--log-level <level>", "log level, in the place of LogLevel").choices([
        "error",
        "warning",
        "info",
        "debug",
      ]),
    )
    .option("--json", "write the log as JSON, in the place of LogFormat")
    .action(async (o: { config?: string; logLevel?: string; json?: true }) => {
      const level = o.logLevel === "warning" ? "warn" : (o.logLevel as LogLevel | undefined);
      const { run } = await import("./run.ts");
      finish(await run({ configPath: o.config, logLevel: level, json: o.json === true }, output));
    });

  program
    .command("check-config")
    .description("read the configuration, report every mistake in it, and show what it comes to")
    .addOption(configOption())
    .option("--json", "write the result as JSON")
    .action(async (o: { config?: string; json?: true }) => {
      const { checkConfig } = await import("./check-config.ts");
      finish(checkConfig({ configPath: o.config, json: o.json === true }, output));
    });

  program
    .command("doctor")
    .description(
      "check homeserver, login, TLS, key, files and port of every section; changes nothing",
    )
    .addOption(configOption())
    .option("--json", "write the result as JSON")
    .action(async (o: { config?: string; json?: true }) => {
      const { doctor } = await import("./doctor.ts");
      finish(await doctor({ configPath: o.config, json: o.json === true }, output));
    });

  return program;
}

function configOption(): Option {
  return new Option(
    "-c, --config <file>",
    "configuration file; else kirjava/kirjava.conf or pantalaimon/pantalaimon.conf below $XDG_CONFIG_HOME (~/.config)",
  );
}
