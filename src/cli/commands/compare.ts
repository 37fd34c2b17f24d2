import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { checkpointComparison } from "../../analysis/compare/compare-checkpoints.ts";
import { stepByStep } from "../../analysis/scan/steps.ts";
import type { Capture } from "../../capture/capture.ts";
import { openCapture } from "../../capture/folder/folder-source.ts";
import { given } from "../../core/given.ts";
import type { Prompt } from "../../run/prompts/prompt-object.ts";
import { checkpointsOf } from "../../views/facts/checkpoints.ts";
import { keptComparison, keptLabelComparison } from "../../views/facts/kept-comparisons.ts";
import { checkpointView } from "../../views/terminal/compare/checkpoints.ts";
import { comparisonView } from "../../views/terminal/compare/comparison.ts";
import { labelComparisonView } from "../../views/terminal/compare/label-comparison.ts";
import type { CommandContext } from "../command.ts";
import { withProgress } from "../kept.ts";
import { gatherPrompts, type PromptFlags } from "../options/gather-prompts.ts";
import { flagsOfItsEngine, type LoadFlags, loadOptionsOf } from "../options/load-flags.ts";
import { captureWithProgress, withModel } from "../run-capture.ts";
import { UsageError } from "../usage-error.ts";

/** The options of `moescope compare`, parsed. */
export interface CompareFlags extends PromptFlags, LoadFlags {
  readonly labels?: readonly [a: string, b: string];
  readonly permutations?: number;
  readonly seed?: number;
  readonly cache: boolean;
  readonly json?: boolean;
}

/** `moescope compare A B [TEXT...]`, or `moescope compare A --labels x,y`. */
export async function compare(
  a: string,
  b: string | undefined,
  texts: readonly string[],
  flags: CompareFlags,
  context: CommandContext,
): Promise<void> {
  const { print, terminal } = context.output;
  const tests = given({ permutations: flags.permutations, seed: flags.seed });
  if (flags.labels) {
    if (b !== undefined)
      throw new UsageError(
        "--labels compares two labels of one capture: leave out B, give texts by --prompts",
      );
    const [capture] = await captures([a], texts, flags, context);
    const facts = await withProgress("Comparing", context, (steps) =>
      keptLabelComparison(capture!, flags.labels!, { ...tests, ...steps }, flags.cache),
    );
    if (flags.json) print(JSON.stringify(facts));
    else print(labelComparisonView(facts, terminal));
    return;
  }
  if (b === undefined) throw new UsageError("compare with what? Give B, or --labels x,y for two labels of A");
  if (texts.length > 0 && [a, b, ...texts].every((reference) => isCapture(reference, flags))) {
    await compareInOrder([a, b, ...texts], flags, context);
    return;
  }
  const [left, right] = (await captures([a, b], texts, flags, context)) as [Capture, Capture];
  const facts = await withProgress("Comparing", context, (steps) =>
    keptComparison(left, right, flags.json === true, { ...tests, ...steps }, flags.cache),
  );
  if (flags.json) print(JSON.stringify(facts));
  else print(comparisonView(facts, [a, b], terminal));
}

/** Three captures or more: checkpoints of a training run. */
async function compareInOrder(
  folders: readonly string[],
  { permutations, seed, json, prompts, tokenIds }: CompareFlags,
  { output, signal }: CommandContext,
): Promise<void> {
  if (prompts || tokenIds !== undefined)
    throw new UsageError("prompts are for models; these captures have theirs");
  const opened = await Promise.all(folders.map(openCapture));
  const progress = output.progress();
  const found = await stepByStep(checkpointComparison(opened, given({ permutations, seed })), {
    signal,
    onProgress: ({ done, total }) => progress.update("Comparing", done, total, "parts"),
  }).finally(() => progress.done());
  const facts = checkpointsOf(opened, found);
  if (json) output.print(JSON.stringify(facts));
  else output.print(checkpointView(facts, folders, output.terminal));
}

/** Capture folders are opened; models run the same prompts one after the other, so that only one is in memory. */
async function captures(
  references: readonly string[],
  texts: readonly string[],
  flags: CompareFlags,
  context: CommandContext,
): Promise<Capture[]> {
  const folders = references.filter((reference) => isCapture(reference, flags));
  if (folders.length === references.length) {
    if (texts.length > 0 || flags.prompts || flags.tokenIds !== undefined)
      throw new UsageError("prompts are for models; these captures have theirs");
    return Promise.all(folders.map(openCapture));
  }
  if (folders.length > 0)
    throw new UsageError(
      `${folders[0]} is a capture and the other a model; capture the model first: ` +
        "moescope capture MODEL --prompts FILE --out run2",
    );
  const prompts = await gatherPrompts(texts, flags, context.stdin);
  const found: Capture[] = [];
  for (const model of references) found.push(await captureModel(model, prompts, flags, context));
  return found;
}

/** Only vLLM's models may be folders; what is wrong with another that is no capture, opening it tells. */
const isCapture = (reference: string, { engine }: LoadFlags) =>
  (statSync(reference, { throwIfNoEntry: false })?.isDirectory() ?? false) &&
  (engine !== "vllm" || existsSync(join(reference, "manifest.json")));

const captureModel = (
  model: string,
  prompts: readonly Prompt[],
  flags: CompareFlags,
  context: CommandContext,
) =>
  withModel(
    model,
    loadOptionsOf(flagsOfItsEngine(flags, model, context.engines), model, context.engines),
    context,
    (llm) => captureWithProgress(llm, prompts, { streams: ["router_logits", "expert_ids"] }, context),
  );
