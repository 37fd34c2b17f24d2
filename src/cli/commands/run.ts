import { type Command, CommanderError } from "commander";
import { MoescopeError } from "../../core/errors.ts";
import type { CommandContext } from "../command.ts";
import { program } from "../program.ts";
import { CommandFailed, UsageError } from "../usage-error.ts";
import type { WritableOutput } from "../writable-output.ts";

/** Exit codes, those of most Unix tools; 130 is 128 + SIGINT, as shells count. */
const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/**
 * Run a command line to its end.
 *
 * @param args what follows the program's name.
 * @returns the exit code; what went wrong is on stderr.
 */
export async function run(
  args: readonly string[],
  context: CommandContext,
  stdout: WritableOutput,
  stderr: WritableOutput,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const root = program(context);
  for (const command of [root, ...root.commands]) speakThrough(command, stdout, stderr);
  try {
    if (args.length === 0) root.help();
    await root.parseAsync(args, { from: "user" });
    return EXIT.ok;
  } catch (error) {
    // Commander has said it already, or was asked for help.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (context.signal.aborted) {
      context.output.note("moescope: interrupted");
      return EXIT.interrupted;
    }
    if (error instanceof CommandFailed) return EXIT.failed;
    if (error instanceof UsageError) {
      context.output.note(`moescope: ${error.message}\n(moescope ${args[0]} --help shows examples)`);
      return EXIT.usage;
    }
    context.output.note(describe(error, env));
    return EXIT.failed;
  }
}

function speakThrough(command: Command, stdout: WritableOutput, stderr: WritableOutput): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => void stdout.write(text),
    writeErr: (text) => void stderr.write(text.replace(/^error: /, "moescope: ")),
    getOutHelpWidth: () => 80,
    getErrHelpWidth: () => 80,
  });
}

function describe(error: unknown, env: NodeJS.ProcessEnv): string {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const known = error instanceof MoescopeError;
  if (env.MOESCOPE_DEBUG) return `moescope: ${stack ?? message}${causes(error)}`;
  if (known && error.code === "CONTEXT_OVERFLOW")
    return `moescope: ${message}\n(--context N sets contextSize)`;
  if (known && error.code === "CAPTURE_TOO_LARGE")
    return `moescope: ${message}\n(--layers, --select and --attention-top-keys narrow it; --out DIR keeps it on the disk)`;
  return known
    ? `moescope: ${message}`
    : `moescope: unexpected error: ${message}\n(MOESCOPE_DEBUG=1 shows where; please report it)`;
}

function causes(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause === undefined) return "";
  return `\ncaused by: ${cause instanceof Error ? cause.stack : String(cause)}${causes(cause)}`;
}
