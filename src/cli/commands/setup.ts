import { createInterface } from "node:readline/promises";
import { type Build, interpreterOf, VLLM_VERSION } from "../../engines/vllm/install/python.ts";
import { planSetup, runSetup, type SetupPlan } from "../../engines/vllm/install/setup.ts";
import { bytes } from "../../views/numbers.ts";
import type { CommandContext } from "../command.ts";
import { UsageError } from "../usage-error.ts";

export interface SetupFlags {
  readonly cpu?: boolean;
  readonly cuda?: boolean;
  readonly dir?: string;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** `moescope setup vllm`: an environment of its own for vLLM, after asking. */
export async function setup(engine: string, flags: SetupFlags, context: CommandContext): Promise<void> {
  if (engine !== "vllm") throw new UsageError(`only vllm needs to be set up, not "${engine}"`);
  const { output, signal } = context;
  const build = chosenBuild(flags);
  output.note(`moescope: resolving the packages of vLLM ${VLLM_VERSION} for ${build.toUpperCase()}`);
  const plan = await planSetup(build, { folder: flags.dir, signal });
  output.print(describe(plan));
  if (flags.dryRun) return;
  if (!flags.yes && !(await agreed(context))) return output.note("moescope: nothing was installed");
  await runSetup(plan, signal);
  const named = flags.dir === undefined ? "" : `MOESCOPE_PYTHON=${interpreterOf(plan.folder)} `;
  output.print(`Done. Next: ${named}moescope capture MODEL "The sky is" --engine vllm`);
}

function chosenBuild({ cpu, cuda }: SetupFlags): Build {
  if (cpu && cuda) throw new UsageError("--cpu and --cuda: choose one");
  if (cpu) return "cpu";
  if (cuda || process.platform === "linux") return "cuda";
  return "cpu";
}

function describe({ build, folder, packages, download, unknown, present }: SetupPlan): string[] {
  return [
    `vLLM ${VLLM_VERSION} (${build}), ${packages} packages, ${bytes(download)} to download${unknown > 0 ? `, and ${unknown} packages of unknown size` : " at most"}`,
    `into ${folder}${present ? ", which has it: it is checked and repaired" : ""}`,
    "Remove the folder to remove it again; nothing else is changed.",
  ];
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
