import { checkUsage } from "../analysis/check-usage.ts";
import type { ExpertUsage } from "../analysis/expert-usage.ts";
import { ModelError, RequestError } from "../core/errors.ts";
import type { ModelInfo } from "../core/model-info.ts";
import {
  abortSignal,
  argument,
  callback,
  number,
  oneOf,
  optionsReader,
  text,
  whole,
} from "../core/options.ts";
import type { CacheType } from "../engines/llama/model/cache-size.ts";
import type { ReferenceOptions } from "../sources/reference-options.ts";
import { resolveModel } from "../sources/resolve.ts";
import { type PlacementAdvice, placeExperts } from "./placement.ts";

/** What {@link advisePlacement} must know: how much memory there is, and how the model will be run. */
export interface PlacementOptions extends ReferenceOptions {
  /** Bytes of GPU memory that llama.cpp may use: what is free, not what the card has. */
  readonly vram: number;
  /** As the model will be run; default 4096, or less if it was trained for less. */
  readonly contextSize?: number;
  /** Default f16. */
  readonly kvType?: CacheType;
  /** llama.cpp's `--ubatch-size`. Default 512. */
  readonly batchSize?: number;
}

const readOptions = optionsReader<PlacementOptions>(
  "advisePlacement",
  {
    vram: number("of bytes from 0, as in 12 * 2 ** 30", (bytes) => bytes >= 0),
    contextSize: whole(1, 1 << 30),
    kvType: oneOf(["f32", "f16", "q8_0"]),
    batchSize: whole(1, 1 << 16),
    signal: abortSignal,
    onProgress: callback,
  },
  ["vram"],
);

/** Where the parts of a model go, with the model it was worked out for: what {@link advisePlacement} gives. */
export interface ModelPlacement extends PlacementAdvice {
  readonly model: ModelInfo;
  readonly contextSize: number;
}

/**
 * Which layers' experts of a model to keep in the GPU's memory when llama.cpp runs it, from the tensors' sizes in its
 * file and from measured usage. Attention, dense layers, the output head, the key-value cache and compute buffers come
 * first: every token needs all of them. Every MoE layer then serves the same number of choices, so no layer is a better
 * place than another; what can differ is how well layers of different sizes fill the memory.
 *
 * @param reference as for `load`.
 * @param usage of the same model: `expertUsage(capture)`, or a usage reducer's.
 * @throws ModelError when there is no such model or it has no experts; RequestError when the usage is another
 *   model's, and for a wrong argument.
 * @example
 * import { advisePlacement, openCapture } from "moescope";
 * import { expertUsage } from "moescope/analysis";
 * const usage = expertUsage(await openCapture("run1"));
 * const { lastLayers } = await advisePlacement("model.gguf", usage, { vram: 12 * 2 ** 30 });
 * console.log(lastLayers.arguments.join(" "), lastLayers.trafficShare);
 */
export async function advisePlacement(
  reference: string,
  usage: ExpertUsage,
  options: PlacementOptions,
): Promise<ModelPlacement> {
  argument("advisePlacement", "the model", reference, text);
  checkUsage("advisePlacement", usage);
  const { vram, contextSize, kvType = "f16", batchSize = 512, ...reach } = readOptions(options);
  const { path, source } = await resolveModel(reference, reach);
  // Loaded when needed: importing the library should be quick.
  const { modelInfo, readHeader } = await import("../engines/llama/model/gguf.ts");
  const { footprint } = await import("../engines/llama/model/footprint.ts");
  const header = await readHeader(path);
  const model = modelInfo(header, source);
  if (!model.moe)
    throw new ModelError("MODEL_UNSUPPORTED", `${model.name} is dense: it has no experts to place`);
  checkSameModel(model, model.moe.layers, usage);
  const context = contextSize ?? Math.min(4096, model.contextLength || 4096);
  const sizes = footprint(header, model, { contextSize: context, kvType, batchSize });
  return { model, contextSize: context, ...placeExperts(sizes, usage, vram) };
}

function checkSameModel({ name, moe }: ModelInfo, layers: readonly number[], usage: ExpertUsage): void {
  const strangers = [...usage.layers.keys()].filter((layer) => !layers.includes(layer));
  if (moe!.experts === usage.experts && moe!.topK === usage.topK && strangers.length === 0) return;
  throw new RequestError(
    "INVALID_ARGUMENT",
    `the profile is of another model: it has ${usage.experts} experts, top-${usage.topK}` +
      (strangers.length > 0 ? `, and MoE layer ${strangers[0]}` : "") +
      `; ${name} has ${moe!.experts}, top-${moe!.topK}. Profile this model: moescope profile MODEL --prompts FILE`,
  );
}
