import { type Manifest, readManifest } from "../capture/folder/manifest.ts";
import { readPromptTokens } from "../capture/folder/prompt-tokens.ts";
import { selectionOfRecord } from "../capture/folder/run-record.ts";
import { type Edit, editsField } from "../core/edits.ts";
import { RequestError } from "../core/errors.ts";
import type { ModelInfo } from "../core/model-info.ts";
import { argument, text } from "../core/options.ts";
import type { PlanOptions } from "../core/plan.ts";
import type { EngineSettings } from "../core/request.ts";
import type { RowSelection } from "../core/row-selection.ts";
import type { SampleInfo } from "../core/sink.ts";
import type { GenerateOptions } from "./generate-options.ts";

/** How the run of a capture folder was asked for. */
export interface StoredRun {
  readonly folder: string;
  readonly complete: boolean;
  readonly model: ModelInfo & { readonly sha256: string | null };
  /** What the engine was loaded with: `load(run.model.source, run.settings)` loads it again alike. */
  readonly settings: EngineSettings;
  /** Token ids of each prompt. */
  readonly prompts: readonly Int32Array[];
  /** By prompt, the selection it has of its own, or `null`. */
  readonly selects: readonly (RowSelection | null)[];
  readonly samples: readonly SampleInfo[];
  readonly options: PlanOptions & GenerateOptions & { readonly edits?: readonly Edit[] };
}

/**
 * Read from a capture folder what it takes to continue it.
 *
 * @throws CaptureError `CAPTURE_INVALID` for a damaged folder; RequestError `INVALID_ARGUMENT` for one that does not
 * say how its rows were made (by another program, or before moescope stored it).
 * @example
 * import { load, storedRun } from "moescope";
 * const run = await storedRun("run1");
 * const llm = await load(run.model.source, run.settings);
 * const capture = await llm.resume("run1");
 */
export async function storedRun(folder: string): Promise<StoredRun> {
  argument("storedRun", "the folder", folder, text);
  const manifest = await readManifest(folder);
  const { run, complete, model, samples } = manifest;
  if (!run)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${folder} does not say how its rows were made and cannot be resumed; capture into a new folder`,
    );
  if (samples.some(({ media }) => media !== undefined))
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${folder} has prompts with images, which it does not hold: it cannot be resumed; capture into a new folder`,
    );
  if (run.maxRows !== undefined && !complete)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${folder} was to keep at most ${run.maxRows} rows, and does not say which samples' rows were dropped: it cannot ` +
        "be resumed; capture into a new folder",
    );
  // Each once, however many samples were drawn of it.
  const isPrompt = (_: unknown, sample: number) => sample % (run.n ?? 1) === 0;
  return {
    folder,
    complete,
    model,
    settings: run.settings,
    prompts: readPromptTokens(folder, samples).filter(isPrompt),
    selects: samples
      .map((_, sample) => run.selects?.[sample] ?? null)
      .filter(isPrompt)
      .map((own) => own && selectionOfRecord(own)),
    samples,
    options: {
      ...planOptions(manifest.streams, run),
      ...run.sampling,
      maxTokens: run.maxTokens,
      ...storedEdits(manifest, folder),
      ...(run.n && { n: run.n }),
      ...logprobsOf(run),
    },
  };
}

/** @throws RequestError where what was replayed is not stored anywhere. */
function storedEdits({ edits = [], samples }: Manifest, folder: string): { edits?: readonly Edit[] } {
  for (const edit of [...edits, ...samples.flatMap((sample) => sample.edits ?? [])])
    if (edit.replay === null)
      throw new RequestError(
        "INVALID_ARGUMENT",
        `${folder} replayed a capture that was in memory only: it cannot be resumed; capture into a new folder`,
      );
  return edits.length > 0 ? { edits: editsField(edits, `${folder}: edits`) } : {};
}
const logprobsOf = ({ logprobs }: NonNullable<Manifest["run"]>): GenerateOptions =>
  logprobs ? { logprobs: logprobs.generated, promptLogprobs: logprobs.prompt } : {};

function planOptions(
  streams: Manifest["streams"],
  { select, reduce, topKeys }: NonNullable<Manifest["run"]>,
): PlanOptions {
  const layers = [...new Set(Object.values(streams).flatMap((stream) => stream!.layers))];
  return {
    streams: Object.keys(streams),
    // None at all: a dense model's router streams, which the plan gives no layers of its own accord.
    ...(layers.length > 0 && { layers }),
    ...(typeof topKeys === "number" && { attention: { topKeys } }),
    select: selectionOfRecord(select),
    ...(reduce && { reduce }),
  };
}

/**
 * Check that a loaded model is the one a folder was captured from: by the weights' hash where both are known, else
 * by everything its file says.
 *
 * @throws RequestError `INVALID_ARGUMENT` naming both.
 */
export function assertSameModel(
  { folder, model }: StoredRun,
  loaded: ModelInfo,
  sha256: string | null,
): void {
  const { sha256: stored, ...info } = model;
  const same = stored !== null && sha256 !== null ? stored === sha256 : identity(info) === identity(loaded);
  if (same) return;
  const name = ({ name, quantization }: ModelInfo, hash: string | null) =>
    `${name} (${quantization}${hash ? `, SHA-256 ${hash.slice(0, 12)}…` : ""})`;
  throw new RequestError(
    "INVALID_ARGUMENT",
    `${folder} was captured from ${name(model, stored)}; ${loaded.source} is ${name(loaded, sha256)}: load the same file`,
  );
}

/** All that is known of a model but where it lies. */
function identity({ source: _, ...model }: ModelInfo): string {
  const byKey = (value: object) =>
    Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify(model, (_, value) =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? byKey(value) : value,
  );
}
