import { existsSync } from "node:fs";
import { join } from "node:path";
import { hasRouting } from "../../analysis/rows/chosen.ts";
import type { Capture } from "../../capture/capture.ts";
import type { FolderOptions } from "../../capture/folder/folder-options.ts";
import { FolderSink } from "../../capture/folder/folder-sink.ts";
import { openCapture } from "../../capture/folder/folder-source.ts";
import { CaptureError, RequestError } from "../../core/errors.ts";
import { given } from "../../core/given.ts";
import type { Reduction } from "../../core/plan.ts";
import type { RowSelection } from "../../core/row-selection.ts";
import { safeText } from "../../core/safe-text.ts";
import type { StreamName } from "../../core/streams.ts";
import { chooseEngine } from "../../engines/choose.ts";
import { isChatPrompt } from "../../run/prompts/prompt.ts";
import { expectChats } from "../../run/prompts/render-apart.ts";
import { storedRun } from "../../run/stored-run.ts";
import { type CaptureFacts, captureFactsOf } from "../../views/facts/capture.ts";
import { captureSummary } from "../../views/terminal/capture-summary.ts";
import { header } from "../../views/terminal/parts/header.ts";
import { dim } from "../../views/terminal/parts/paint.ts";
import { clip } from "../../views/terminal/parts/text.ts";
import { usageByLabel, usageMap } from "../../views/terminal/parts/usage-map.ts";
import { middleLayer, sampleStrips } from "../../views/terminal/sample-strips.ts";
import type { CommandContext } from "../command.ts";
import { type EditFlags, editsOf } from "../options/edit-flags.ts";
import { gatherPrompts, type PromptFlags } from "../options/gather-prompts.ts";
import { type LoadFlags, loadOptionsOf, optionsOf } from "../options/load-flags.ts";
import type { Output } from "../output.ts";
import { captureWithProgress, watched, withModel } from "../run-capture.ts";
import { UsageError } from "../usage-error.ts";

/** The options of `moescope capture`, parsed. */
export interface CaptureFlags extends PromptFlags, LoadFlags, EditFlags {
  readonly maxTokens?: number;
  readonly streams?: readonly StreamName[];
  readonly layers?: readonly number[];
  readonly select?: RowSelection;
  readonly reduce?: Reduction;
  readonly maxRows?: number;
  readonly n?: number;
  readonly attentionTopKeys?: number;
  readonly out?: string;
  readonly dtype?: keyof typeof DTYPES;
  readonly shardSize?: number;
  readonly shared?: boolean;
  readonly resume?: string;
  readonly model?: string;
  readonly json?: boolean;
  readonly seed?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly stop?: readonly string[];
}

/** Names of float types as the machine learning world writes them, with the library's. */
const DTYPES = { f32: "float32", f16: "float16", bf16: "bfloat16" } as const;

/** Outputs shown as text; the rest are in the folder or the JSON. */
const MAX_OUTPUTS = 3;

/** `moescope capture MODEL [TEXT...]`, or `moescope capture --resume DIR`. */
export async function capture(
  model: string | undefined,
  texts: readonly string[],
  flags: CaptureFlags,
  context: CommandContext,
): Promise<void> {
  if (flags.resume !== undefined) {
    if (model !== undefined)
      throw new UsageError("--resume runs what the folder says; name its model with --model if it has moved");
    return resume(flags.resume, flags, context);
  }
  if (model === undefined) throw new UsageError("name a model: moescope capture MODEL TEXT");
  if (flags.out === undefined && (flags.dtype ?? flags.shardSize ?? flags.shared) !== undefined)
    throw new UsageError("--dtype, --shard-size and --shared say how a folder is written: give --out DIR");
  const prompts = await gatherPrompts(texts, flags, context.stdin);
  if (prompts.some(isChatPrompt)) expectChats();
  await withModel(model, loadOptionsOf(flags, model, context.engines), context, async (llm) => {
    const {
      maxTokens,
      streams,
      layers,
      select,
      reduce,
      maxRows,
      n,
      out,
      seed,
      temperature,
      topK,
      topP,
      minP,
      stop,
    } = flags;
    const attention = flags.attentionTopKeys === undefined ? undefined : { topKeys: flags.attentionTopKeys };
    const edits = await editsOf(flags, llm.info);
    const run = given({
      ...(edits.length > 0 && { edits }),
      ...{ maxTokens, n, streams, layers, select, reduce, maxRows, attention },
      ...{ seed, temperature, topK, topP, minP, stop },
    });
    const options = out === undefined ? run : { ...run, into: new FolderSink(out, folderOptions(flags)) };
    const captured = await captureWithProgress(llm, prompts, options, context).catch((error) => {
      if (out !== undefined) noteWhatIsKept(out, error, context);
      throw error;
    });
    showCapture(captured, out, flags, context.output);
  });
}

/** Continue a folder as it was begun; what no value depends on may differ. */
async function resume(folder: string, flags: CaptureFlags, context: CommandContext): Promise<void> {
  const run = await storedRun(folder);
  if (run.complete) {
    context.output.note(`moescope: ${safeText(folder)} is complete`);
    return showCapture(await openCapture(folder), folder, flags, context.output);
  }
  const model = flags.model ?? run.model.source;
  const entry = chooseEngine(context.engines, model, run.settings.engine as string | undefined);
  const options = { ...run.settings, ...optionsOf(entry, flags, ({ stored }) => !stored) };
  await withModel(model, options, context, async (llm) => {
    const captured = await watched(context, (watch) => llm.resume(folder, watch)).catch((error) => {
      noteWhatIsKept(folder, error, context);
      throw error;
    });
    showCapture(captured, folder, flags, context.output);
  });
}

function folderOptions({ dtype, shardSize, shared }: CaptureFlags): FolderOptions {
  return {
    ...(dtype !== undefined && { dtype: DTYPES[dtype] }),
    ...(shared && { access: "shared" as const }),
    ...(shardSize !== undefined && { shardBytes: Math.ceil(shardSize * 2 ** 20) }),
  };
}

/** A run that broke off left a folder that opens and can be continued; one that was refused never had it. */
function noteWhatIsKept(folder: string, error: unknown, { output }: CommandContext): void {
  const refused =
    error instanceof RequestError || (error instanceof CaptureError && error.code !== "STORAGE_FAILED");
  if (refused) return;
  if (existsSync(join(folder, "manifest.json")))
    output.note(
      `moescope: ${safeText(folder)} keeps what was finished before (capture --resume ${safeText(folder)} goes on)`,
    );
}

function showCapture(
  captured: Capture,
  out: string | undefined,
  { json }: CaptureFlags,
  output: Output,
): void {
  const facts = captureFactsOf(captured, { samples: json === true });
  if (json) output.print(JSON.stringify({ ...facts, out: out ?? null }));
  else printCapture(captured, facts, out, output);
}

function printCapture(
  captured: Capture,
  facts: CaptureFacts,
  out: string | undefined,
  { terminal, print }: Output,
): void {
  const { depth, width } = terminal;
  const { usage } = facts;
  print(header(captured.model, captured.engine.kind, terminal), "");
  print(captureSummary(facts), "");
  const layer = middleLayer(captured);
  if (usage && captured.rows.length > 0 && layer !== undefined) {
    print(sampleStrips(captured, layer, terminal), "");
    print(usageMap(usage, terminal), "");
    const labels = new Set(captured.samples.map(({ label }) => label));
    if (labels.size > 1) print(usageByLabel(usage, layer, terminal), "");
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
    return captured.streams.includes("router_logits")
      ? "Next: add --streams router_logits,expert_ids   this model's logits do not tell its experts"
      : "Next: add --streams router_logits,expert_ids   see which experts serve them";
  if (out === undefined) return "Next: add --out run1   keep every value in a folder";
  return "Next: read it in Python with safetensors (values) and pandas (rows.parquet)";
}
