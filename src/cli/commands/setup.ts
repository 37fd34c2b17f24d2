import { createInterface } from "node:readline/promises";
import { RequestError } from "../../core/errors.ts";
import type { EngineSetup } from "../../engines/entry.ts";
import { bytes } from "../../views/numbers.ts";
import type { CommandContext } from "../command.ts";
import { UsageError } from "../usage-error.ts";

/** The options of every engine's setup; each has its own besides. */
interface SetupFlags {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** `moescope setup ENGINE`: what it takes is told, and installed after asking. */
export async function setup(engine: string, flags: SetupFlags, context: CommandContext): Promise<void> {
  const { output, signal, engines } = context;
  const plan = await planOf(setupOf(engine, engines), flags, context);
  output.print(plan.lines);
  if (flags.dryRun) return;
  if (!flags.yes && !(await agreed(context))) return output.note("moescope: nothing was installed");
  await plan.install(signal);
  output.print(`Done. Next: ${plan.next}`);
}

function setupOf(engine: string, engines: CommandContext["engines"]): EngineSetup {
  const able = engines.filter(({ setup }) => setup !== undefined);
  const found = able.find(({ name }) => name === engine)?.setup;
  if (found) return found;
  const names = able.map(({ name }) => name).join(" and ");
  throw new UsageError(`only ${names} need${able.length === 1 ? "s" : ""} to be set up, not "${engine}"`);
}

async function planOf(setup: EngineSetup, flags: SetupFlags, { output, signal }: CommandContext) {
  const note = (text: string) => output.note(`moescope: ${text}`);
  try {
    return await setup.plan(flags as Readonly<Record<string, unknown>>, { signal, note, bytes });
  } catch (error) {
    // Flags that do not go together.
    if (error instanceof RequestError) throw new UsageError(error.message);
    throw error;
  }
}

async function agreed({ output, signal }: CommandContext): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new UsageError(
      "there is no terminal to ask on: add --yes to install, --dry-run to see what it takes",
    );
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await lines.question("Install? [y/N] ", { signal });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
    output.note("");
  }
}
