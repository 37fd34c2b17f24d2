import { RequestError } from "../../../core/errors.ts";
import type { EngineSetup, Wording } from "../../entry.ts";
import type { Build } from "./python.ts";
import type { PlannedSetup } from "./setup.ts";

/** The options of `moescope setup vllm`, parsed. */
interface SetupFlags {
  readonly cpu?: boolean;
  readonly cuda?: boolean;
  readonly dir?: string;
}

/** An environment of its own for vLLM. */
export const vllmSetup: EngineSetup = {
  flags: [
    { name: "cpu", type: { is: "switch" }, help: "the build for CPUs" },
    { name: "cuda", type: { is: "switch" }, help: "the build for NVIDIA GPUs (default on Linux)" },
    {
      name: "dir",
      placeholder: "<dir>",
      type: { is: "text" },
      help: "where to (default: moescope's folder in your data folder)",
    },
  ],

  async plan(flags: SetupFlags, { signal, note, bytes }) {
    const build = chosenBuild(flags);
    const { interpreterOf, VLLM_VERSION } = await import("./python.ts");
    const { planSetup, runSetup } = await import("./setup.ts");
    note(`resolving the packages of vLLM ${VLLM_VERSION} for ${build.toUpperCase()}`);
    const plan = await planSetup(build, { folder: flags.dir, signal });
    const named = flags.dir === undefined ? "" : `MOESCOPE_PYTHON=${interpreterOf(plan.folder)} `;
    return {
      lines: describe(plan, VLLM_VERSION, bytes),
      install: (signal) => runSetup(plan, signal),
      next: `${named}moescope capture MODEL "The sky is" --engine vllm`,
    };
  },
};

function chosenBuild({ cpu, cuda }: SetupFlags): Build {
  if (cpu && cuda) throw new RequestError("INVALID_ARGUMENT", "--cpu and --cuda: choose one");
  if (cpu) return "cpu";
  if (cuda || process.platform === "linux") return "cuda";
  return "cpu";
}

function describe(
  { build, folder, packages, download, unknown, present }: PlannedSetup,
  version: string,
  bytes: Wording["bytes"],
): string[] {
  return [
    `vLLM ${version} (${build}), ${packages} packages, ${bytes(download)} to download${unknown > 0 ? `, and ${unknown} packages of unknown size` : " at most"}`,
    `into ${folder}${present ? ", which has it: it is checked and repaired" : ""}`,
    "Remove the folder to remove it again; nothing else is changed.",
  ];
}
