import { join } from "node:path";
import { Command, Option } from "commander";
import { DEFAULT_PERMUTATIONS } from "../analysis/statistics/randomization/random.ts";
import { packageRoot, packageVersion } from "../core/package-root.ts";
import { REDUCTIONS } from "../core/plan.ts";
import { MODEL_FILE } from "../engines/llama/entry.ts";
import { EXPORT_FORMATS } from "../export/formats.ts";
import type { CommandContext } from "./command.ts";
import type { AnalyzeFlags } from "./commands/analyze.ts";
import type { CaptureFlags } from "./commands/capture.ts";
import type { CompareFlags } from "./commands/compare.ts";
import type { EplbFlags } from "./commands/eplb.ts";
import type { PlaceFlags } from "./commands/place.ts";
import type { ProfileFlags } from "./commands/profile.ts";
import type { ServeFlags } from "./commands/serve.ts";
import {
  ANALYZE_EXAMPLES,
  CAPTURE_EXAMPLES,
  COMPARE_EXAMPLES,
  EPLB_EXAMPLES,
  EXAMPLES,
  EXPORT_EXAMPLES,
  PLACE_EXAMPLES,
  PROFILE_EXAMPLES,
  SERVE_EXAMPLES,
} from "./examples.ts";
import { EDIT_FLAGS, editOptions } from "./options/edit-flags.ts";
import { engineFlags, modelOptions, optionOf } from "./options/load-flags.ts";
import { append, value } from "./options/option-parser.ts";
import {
  parseBytes,
  parseLabelPair,
  parseLayers,
  parseNumber,
  parseSelect,
  parseStreamList,
  parseWhole,
} from "./options/option-values.ts";
import { modelHelp, promptOptions } from "./options/run-options.ts";
import { CommandFailed } from "./usage-error.ts";

/** What a resumed run takes from its folder, besides what engines store there. */
const SET_BY_THE_RUN = (
  "prompts tokenIds chat chatTemplateKwargs specialTokens maxTokens streams attentionTopKeys layers select reduce maxRows n out dtype shardSize shared seed temperature " +
  "topK topP minP stop"
).split(" ");

/** Of the commands that test. */
const permutations = () =>
  new Option(
    "--permutations <n>",
    `random permutations of each test; no p or q is below 1 / (1 + n) (default: ${DEFAULT_PERMUTATIONS})`,
  ).argParser(value(parseWhole(1)));
const testSeed = () =>
  new Option(
    "--seed <n>",
    "of the random permutations: the same seed gives the same numbers (default: 0)",
  ).argParser(value(parseWhole(0, 0xffffffff)));

const noCache = () =>
  new Option("--no-cache", "compute again what was kept in the folder, and keep nothing there");

/** The command line. Each command's code is loaded when it runs, so that `--help` comes at once. */
export function program(context: CommandContext): Command {
  const root = new Command("moescope")
    .description("See inside a mixture-of-experts language model while it runs.")
    .version(packageVersion)
    .addHelpText("after", EXAMPLES)
    .helpCommand(false)
    .showHelpAfterError("(--help shows the options)");
  root.addCommand(captureCommand(context));
  root.addCommand(profileCommand(context));
  root.addCommand(analyzeCommand(context));
  root
    .command("report")
    .description("what a capture shows, as one HTML file to share")
    .argument("<dir>", "a capture folder")
    .requiredOption("-o, --out <file>", "the HTML file")
    .option("--title <text>", "default: the model's name")
    .option("--threads <n>", "that analyse (default: one a core)", value(parseWhole(1)))
    .addOption(permutations())
    .addOption(testSeed())
    .addOption(noCache())
    .action(async (dir, flags) => (await import("./report-file.ts")).report(dir, flags, context));
  root.addCommand(compareCommand(context));
  root.addCommand(serveCommand(context));
  root.addCommand(placeCommand(context));
  root.addCommand(eplbCommand(context));
  root
    .command("prune-candidates")
    .description("experts by what they contribute, those that carry least first")
    .argument("<dir>", "a capture folder")
    .option("--limit <n>", "experts listed", value(parseWhole(1)), 20)
    .option("--json", "print one JSON document with every expert")
    .action(async (dir, flags) =>
      (await import("./commands/prune-candidates.ts")).prune(dir, flags, context),
    );
  root.addCommand(exportCommand(context));
  root
    .command("inspect")
    .description("layers, experts, gating, size and quantisation of a model file")
    .argument("<model>", MODEL_FILE)
    .option("--tensors", "load it and list what can be captured as activation:<name>")
    .option("--no-flash-attention", "with --tensors: as capture has it with that option")
    .option("--json", "print one JSON document")
    .action(async (model, options) =>
      (await import("./commands/inspect.ts")).inspect(model, options, context),
    );
  root
    .command("demo")
    .description("run the bundled demo model on texts of several domains")
    .option("--json", "print one JSON document")
    .action(async (options) => (await import("./commands/demo.ts")).demo(options, context));
  root
    .command("doctor")
    .description("what is installed, what works, what to do about the rest")
    .option("--json", "print one JSON document")
    .action(async (options) => {
      const works = await (await import("./commands/doctor.ts")).doctor(options, context);
      // The report has said why.
      if (!works) throw new CommandFailed();
    });
  root.addCommand(setupCommand(context));
  root
    .command("plugin-path")
    .description("where vLLM finds the plugin: PYTHONPATH of a vllm serve")
    .action(() => context.output.print(join(packageRoot, "python")));
  return root;
}

function setupCommand(context: CommandContext): Command {
  const able = context.engines.filter(({ setup }) => setup !== undefined);
  const names = able.map(({ name }) => name);
  const command = new Command("setup")
    .description(`install an engine in an environment of its own: ${names.join(", ")}`)
    .argument("<engine>", names.join(" or "));
  for (const flag of able.flatMap(({ setup }) => setup!.flags)) command.addOption(optionOf(flag));
  return command
    .option("--yes", "do not ask")
    .option("--dry-run", "say what would be installed, and how large it is")
    .action(async (engine, flags) => (await import("./commands/setup.ts")).setup(engine, flags, context));
}

function captureCommand(context: CommandContext): Command {
  const stored = engineFlags(context.engines).filter((flag) => flag.stored);
  return editOptions(runCommand("capture", context))
    .description("run prompts and capture router logits and the chosen experts")
    .option("--streams <names>", "what to capture, e.g. router_logits,hidden_states", value(parseStreamList))
    .option("--attention-top-keys <n>", "of attention, the n largest weights a head", value(parseWhole(1)))
    .option("--layers <list>", "layers, e.g. 0,2-5,-1 (default: all)", value(parseLayers))
    .option(
      "--select <rows>",
      "rows, e.g. phase=generated,last=4 or positions=-1,!tokens=0",
      value(parseSelect),
    )
    .addOption(
      new Option("--reduce <how>", "one row a sample: its last one or their mean (default: all)").choices(
        REDUCTIONS,
      ),
    )
    .option("--max-rows <n>", "keep at most n rows and count the others", value(parseWhole(1)))
    .option("--n <n>", "samples of each prompt, with --temperature (default: 1)", value(parseWhole(1)))
    .option("--out <dir>", "write the capture folder: safetensors, rows.parquet")
    .addOption(
      new Option("--dtype <type>", "of floats in the folder (default: f32)").choices(["f32", "f16", "bf16"]),
    )
    .option(
      "--shard-size <MiB>",
      "of the folder's files; what memory holds and a kill loses (default: 32)",
      value(parseNumber("above 0", (mib) => mib > 0)),
    )
    .option("--shared", "let other users read the folder, as the umask says (default: nobody)")
    .addOption(
      new Option("--resume <dir>", "continue a folder whose run was interrupted").conflicts([
        ...SET_BY_THE_RUN,
        ...EDIT_FLAGS,
        ...stored.map(({ name }) => name),
      ]),
    )
    .option("--model <file>", "with --resume: where the model lies, if it has moved")
    .option("--json", "print one JSON document")
    .option("--seed <n>", "of the sampling (default: 0)", value(parseWhole(0, 0xffffffff)))
    .option("--temperature <t>", "0 is greedy (default: 0)", value(parseNumber("from 0", (t) => t >= 0)))
    .option("--top-k <n>", "sample among the k most likely tokens", value(parseWhole(0)))
    .option(
      "--top-p <p>",
      "sample among the tokens that make up p",
      value(parseNumber("above 0, to 1", (p) => p > 0 && p <= 1)),
    )
    .option(
      "--min-p <p>",
      "drop tokens below p times the likeliest",
      value(parseNumber("from 0, below 1", (p) => p >= 0 && p < 1)),
    )
    .option("--stop <text>", "end before this text; may repeat", append)
    .addHelpText("after", CAPTURE_EXAMPLES)
    .action(async (model: string | undefined, texts: string[], flags: CaptureFlags) =>
      (await import("./commands/capture.ts")).capture(model, texts, flags, context),
    );
}

function profileCommand(context: CommandContext): Command {
  return runCommand("profile", context)
    .description("expert usage and routing entropy over a corpus, keeping counts and no rows")
    .option("--merge <files...>", "put profiles of several machines together instead of running")
    .option("--out <file>", "write the profile, for --merge")
    .option("--json", "print the profile")
    .addHelpText("after", PROFILE_EXAMPLES)
    .action(async (model: string | undefined, texts: string[], flags: ProfileFlags) =>
      (await import("./commands/profile.ts")).profile(model, texts, flags, context),
    );
}

/** A command that loads a model and runs prompts, with the options of both. */
function runCommand(name: string, { engines }: CommandContext): Command {
  const command = new Command(name).argument("[model]", modelHelp(engines)).argument("[text...]", "prompts");
  promptOptions(command).option(
    "--max-tokens <n>",
    "tokens to generate after each prompt (default: 0)",
    value(parseWhole(0)),
  );
  return modelOptions(command, engines);
}

function analyzeCommand(context: CommandContext): Command {
  return new Command("analyze")
    .description("what a capture shows: usage, balance, specialization, token preferences")
    .argument("<dir>", "a capture folder")
    .option("--label <name>", "only samples with this label; may repeat", append)
    .option("--layer <list>", "only these layers, e.g. 3 or 0,2-5,-1", value(parseLayers))
    .option("--threads <n>", "threads that work (default: one a core)", value(parseWhole(1, 1024)))
    .addOption(permutations())
    .addOption(testSeed())
    .addOption(noCache())
    .option("--json", "print one JSON document: a summary")
    .option("--full", "with --json: every number")
    .addHelpText("after", ANALYZE_EXAMPLES)
    .action(async (folder: string, flags: AnalyzeFlags) =>
      (await import("./commands/analyze.ts")).analyze(folder, flags, context),
    );
}

function compareCommand(context: CommandContext): Command {
  const command = new Command("compare")
    .description("compare the routing of two captures, models or labels, or of captures in order")
    .argument("<a>", "a capture folder or a model")
    .argument("[b]", "another of the same kind")
    .argument("[text...]", "prompts, for models; or more captures, in order")
    .option("--labels <x,y>", "compare the samples of two labels of A", value(parseLabelPair))
    .addOption(permutations())
    .addOption(testSeed())
    .addOption(noCache())
    .option("--json", "print one JSON document");
  return modelOptions(promptOptions(command), context.engines)
    .addHelpText("after", COMPARE_EXAMPLES)
    .action(async (a: string, b: string | undefined, texts: string[], flags: CompareFlags) =>
      (await import("./commands/compare.ts")).compare(a, b, texts, flags, context),
    );
}

function serveCommand(context: CommandContext): Command {
  const command = new Command("serve")
    .description("open the explorer: live models and stored captures in the browser")
    .argument("[model-or-dir...]", "models and folders of captures")
    .option("--port <n>", "port (default: 7878, or another when that is in use)", value(parseWhole(0, 65535)))
    .option("--host <address>", "address to listen on (default: 127.0.0.1)")
    .option("--token <secret>", "ask everybody for it")
    .option("--allow-host <name>", "another name the server is reached under; may repeat", append)
    .option("--no-record", "do not record what requests run")
    .option("--no-open", "do not open the browser");
  return modelOptions(command, context.engines)
    .addHelpText("after", SERVE_EXAMPLES)
    .action(async (references: string[], flags: ServeFlags) =>
      (await import("./commands/serve.ts")).serve(references, flags, context),
    );
}

function exportCommand(context: CommandContext): Command {
  return new Command("export")
    .description("write a capture in a format of others: numpy, CSV, Parquet, vLLM's, SGLang's")
    .argument("<dir>", "a capture folder")
    .addOption(new Option("--format <format>", "what to write").choices(EXPORT_FORMATS).makeOptionMandatory())
    .requiredOption("-o, --out <path>", "a file; for npy and routed-experts a folder")
    .addHelpText("after", EXPORT_EXAMPLES)
    .action(async (dir, flags) => (await import("./commands/export.ts")).exportFolder(dir, flags, context));
}

function eplbCommand(context: CommandContext): Command {
  return new Command("eplb")
    .description("which experts on which rank of an expert-parallel server, as DeepSeek's EPLB places them")
    .argument("<profile>", "a capture folder, or the JSON of moescope profile")
    .requiredOption("--ranks <n>", "GPUs that share the experts", value(parseWhole(1)))
    .option("--nodes <n>", "servers that hold the ranks (default: 1)", value(parseWhole(1)))
    .option(
      "--groups <n>",
      "groups of experts that routing keeps together (default: 1)",
      value(parseWhole(1)),
    )
    .option("--redundant <n>", "replicas beyond one place an expert (default: 0)", value(parseWhole(0)))
    .option("--out <file>", "write the map for SGLang's --init-expert-location")
    .option("--json", "print one JSON document")
    .addHelpText("after", EPLB_EXAMPLES)
    .action(async (profile: string, flags: EplbFlags) =>
      (await import("./commands/eplb.ts")).eplb(profile, flags, context),
    );
}

function placeCommand(context: CommandContext): Command {
  return new Command("place")
    .description("which layers' experts to keep on the GPU, with llama.cpp's arguments")
    .argument("<model>", MODEL_FILE)
    .requiredOption("--profile <path>", "a capture folder, or the JSON of moescope profile")
    .requiredOption("--vram <size>", "GPU memory llama.cpp may use, e.g. 12GiB", value(parseBytes))
    .option("--context <n>", "tokens of the key-value cache (default: up to 4096)", value(parseWhole(1)))
    .addOption(new Option("--kv-type <type>", "of the key-value cache").choices(["f32", "f16", "q8_0"]))
    .option("--ubatch <n>", "llama.cpp's --ubatch-size (default: 512)", value(parseWhole(1)))
    .option("--json", "print one JSON document")
    .addHelpText("after", PLACE_EXAMPLES)
    .action(async (model: string, flags: PlaceFlags) =>
      (await import("./commands/place.ts")).place(model, flags, context),
    );
}
