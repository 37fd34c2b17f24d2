import { lossesOfAll } from "../../analysis/measures/router-losses.ts";
import {
  formatProfile,
  mergeProfiles,
  type Profile,
  parseProfile,
  profileReducer,
} from "../../analysis/reducers/profile.ts";
import { RequestError } from "../../core/errors.ts";
import { largest, smallest } from "../../core/extremes.ts";
import { safeText } from "../../core/safe-text.ts";
import { replaceFile } from "../../formats/atomic-file.ts";
import { readFileUpTo } from "../../formats/regular-file.ts";
import { usageOf } from "../../views/facts/usage.ts";
import { count } from "../../views/numbers.ts";
import { lossLine } from "../../views/terminal/analysis/router-losses.ts";
import { header } from "../../views/terminal/parts/header.ts";
import { dim } from "../../views/terminal/parts/paint.ts";
import { usageByLabel, usageMap } from "../../views/terminal/parts/usage-map.ts";
import type { CommandContext } from "../command.ts";
import { gatherPrompts, type PromptFlags } from "../options/gather-prompts.ts";
import { type LoadFlags, loadOptionsOf } from "../options/load-flags.ts";
import type { Output } from "../output.ts";
import { watched, withModel } from "../run-capture.ts";
import { UsageError } from "../usage-error.ts";

/** The options of `moescope profile`, parsed. */
export interface ProfileFlags extends PromptFlags, LoadFlags {
  readonly maxTokens?: number;
  readonly merge?: readonly string[];
  readonly out?: string;
  readonly json?: boolean;
}

/** `moescope profile MODEL --prompts FILE`, or `moescope profile --merge FILES`. */
export async function profile(
  model: string | undefined,
  texts: readonly string[],
  flags: ProfileFlags,
  context: CommandContext,
): Promise<void> {
  if ((model === undefined) === (flags.merge === undefined))
    throw new UsageError("name a model and its prompts, or --merge profiles");
  const made = model === undefined ? await mergeFiles(flags.merge!) : await run(model, texts, flags, context);
  const text = formatProfile(made);
  if (flags.out !== undefined) await replaceFile(flags.out, [Buffer.from(`${text}\n`)]);
  if (flags.json) context.output.print(text);
  else printProfile(made, flags.out, context.output);
}

async function run(
  model: string,
  texts: readonly string[],
  flags: ProfileFlags,
  context: CommandContext,
): Promise<Profile> {
  const prompts = await gatherPrompts(texts, flags, context.stdin);
  const { maxTokens = 0 } = flags;
  return withModel(model, loadOptionsOf(flags, model, context.engines), context, async (llm) => {
    const results = await watched(context, (watch) =>
      llm.capture(prompts, { maxTokens, ...watch, into: profileReducer() }),
    );
    return { model: llm.info, engine: llm.engine, samples: prompts.length, results };
  });
}

async function mergeFiles(paths: readonly string[]): Promise<Profile> {
  const profiles: Profile[] = [];
  for (const path of paths) profiles.push(await readProfile(path));
  return profiles.reduce(mergeProfiles);
}

/** In bytes: counts of layers, experts and labels, far below that for any model. */
const MAX_PROFILE_LENGTH = 256 * 2 ** 20;

/** @throws RequestError when the file cannot be read or is no profile. */
export async function readProfile(path: string): Promise<Profile> {
  let text: string;
  try {
    text = (await readFileUpTo(path, MAX_PROFILE_LENGTH)).toString();
  } catch (cause) {
    throw new RequestError(
      "INVALID_ARGUMENT",
      `cannot read the profile ${path}: ${(cause as Error).message}`,
      { cause },
    );
  }
  return parseProfile(text, path);
}

function printProfile({ model, engine, samples, results }: Profile, out: string | undefined, output: Output) {
  const { terminal, print } = output;
  const usage = usageOf(results.usage, { byLabel: true });
  const { layers } = usage;
  const [first] = layers;
  print(header(model, engine.kind, terminal), "");
  print(`Profiled ${count(first?.rows ?? 0)} tokens of ${count(samples)} samples`, "");
  if (first) {
    print(usageMap(usage, terminal), "");
    const middle = layers[layers.length >> 1]!.layer;
    if (first.byLabel!.length > 1) print(usageByLabel(usage, middle, terminal), "");
    const nats = Array.from(results.entropy.layers.values(), ({ mean }) => mean);
    const range = [smallest(nats), largest(nats)].map((mean) => mean.toFixed(2)).join(" to ");
    print(`Routing entropy by layer: ${range} of at most ${Math.log(usage.experts).toFixed(2)} nats`, "");
    const losses = results.router && lossesOfAll([...results.router.layers.values()]);
    if (losses) print(lossLine(losses), "");
  }
  if (out !== undefined) print(`Saved to ${safeText(out)}`);
  const hint =
    out === undefined ? "add --out a.json   keep it" : `moescope profile --merge ${safeText(out)} …`;
  print(dim(terminal.depth, `Next: ${hint}`));
}
