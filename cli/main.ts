#!/usr/bin/env node
import { failuresOf, printFailures } from "./output.ts";
import { runProgram } from "./program.ts";

const output = {
  out: (text: string) => void process.stdout.write(text),
  err: (text: string) => void process.stderr.write(text),
  env: process.env,
};

try {
  // Not process.exit: what was written to a pipe must reach the other end.
  process.exitCode = await runProgram(process.argv.slice(2), output);
} catch (error) {
  printFailures(output, failuresOf(error));
  process.exitCode = 1;
}
// A forgotten handle must not keep a stopped daemon alive until the service manager kills it.
setTimeout(() => process.exit(), 5_000).unref();
