import { existsSync } from "node:fs";
import { join } from "node:path";
import { expertUsage } from "../analysis/usage.ts";
import type { Capture } from "../capture/capture.ts";
import type { RowSelection } from "../capture/plan.ts";
import type { StreamName } from "../capture/streams.ts";
import { MoescopeError } from "../errors.ts";
import type { CommandContext } from "./command.ts";
import { gatherPrompts, type PromptFlags } from "./gather-prompts.ts";
import { given, loadOptions, type ModelFlags } from "./model-flags.ts";
import type { Output } from "./output.ts";
import { captureReport } from "./report.ts";
import { captureWithProgress, withModel } from "./run-capture.ts";
import { hasRouting, middleLayer, sampleStrips } from "./sample-strip.ts";
import { captureSummary } from "./view/capture-summary.ts";
import { header } from "./view/header.ts";
import { dim } from "./view/paint.ts";
import { clip, safeText } from "./view/text.ts";
import { usageByLabel, usageMap } from "./view/usage-map.ts";

/** The options of `moescope capture`, parsed. */
export interface CaptureFlags extends PromptFlags, ModelFlags {
  readonly maxTokens?: number;
  readonly streams?: readonly StreamName[];
  readonly layers?: readonly number[];
  readonly select?: RowSelection;
  readonly out?: string;
  readonly json?: boolean;
  readonly seed?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly stop?: readonly string[];
}

/** Outputs shown as text; the rest are in the folder or the JSON. */
const MAX_OUTPUTS = 3;

/** `moescope capture MODEL [TEXT...]`. */
export async function capture(
  model: string,
  texts: readonly string[],
  flags: CaptureFlags,
  context: CommandContext,
): Promise<void> {
  const prompts = await gatherPrompts(texts, flags, context.stdin);
  await withModel(model, loadOptions(flags), context, async (llm) => {
    const { maxTokens, streams, layers, select, out, seed, temperature, topK, topP, minP, stop } = flags;
    const run = given({ maxTokens, streams, layers, select, seed, temperature, topK, topP, minP, stop });
    const options = { ...run, ...given({ into: out }) };
    const captured = await captureWithProgress(llm, prompts, options, context).catch((error) => {
      if (out !== undefined && keepsShards(out, error))
        context.output.note(`moescope: ${safeText(out)} keeps what was finished before`);
      throw error;
    });
    if (flags.json) context.output.print(JSON.stringify({ ...captureReport(captured), out: out ?? null }));
    else printCapture(captured, out, context.output);
  });
}

/** Whether a run that broke off left a folder that opens. */
function keepsShards(folder: string, error: unknown): boolean {
  const refused = error instanceof MoescopeError && error.code === "CAPTURE_EXISTS";
  return !refused && existsSync(join(folder, "manifest.json"));
}

function printCapture(captured: Capture, out: string | undefined, { terminal, print }: Output): void {
  const { depth, width } = terminal;
  print(...header(captured.model, captured.engine.kind, terminal), "");
  print(...captureSummary(captured), "");
  const layer = middleLayer(captured);
  if (captured.rows.length > 0 && layer !== undefined) {
    print(...sampleStrips(captured, layer, terminal), "");
    const usage = expertUsage(captured);
    print(...usageMap(usage, terminal), "");
    const labels = new Set(captured.samples.map(({ label }) => label));
    if (labels.size > 1) print(...usageByLabel(usage, layer, terminal), "");
  }
  const written = captured.outputs.filter(({ text }) => text !== "");
  for (const { sample, text } of written.slice(0, MAX_OUTPUTS))
    print(clip(`Output ${sample}: ${safeText(text)}`, width));
  if (written.length > MAX_OUTPUTS) print(`… ${written.length - MAX_OUTPUTS} more outputs`);
  if (written.length > 0) print("");
  if (out !== undefined) print(`Saved to ${safeText(out)}`);
  print(dim(depth, nextHint(captured, out)));
}

/** What to do next: capture what is missing, keep the values, or look at what was kept. */
function nextHint(captured: Capture, out: string | undefined): string {
  if (!captured.model.moe && !captured.streams.includes("hidden_states"))
    return "Next: add --streams hidden_states   a dense model has no router";
  if (captured.model.moe && !hasRouting(captured))
    return "Next: add --streams router_logits,expert_ids   see which experts serve them";
  if (out === undefined) return "Next: add --out run1   keep every value in a folder";
  return "Next: read it in Python with safetensors (values) and pandas (rows.parquet)";
}
