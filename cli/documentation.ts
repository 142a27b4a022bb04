import { makeProgram } from "./program.ts";

/** The help of every command as Markdown. */
export function commandsAsMarkdown(): string {
  const ignore = () => undefined;
  const program = makeProgram({ out: ignore, err: ignore, env: {} }, ignore);
  return program.commands
    .map((command) => {
      command.configureHelp({ helpWidth: 100 });
      return `## kirjava ${command.name()}\n\n\`\`\`\n${command.helpInformation().trimEnd()}\n\`\`\``;
    })
    .join("\n\n");
}
