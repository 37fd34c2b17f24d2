import { totalmem } from "node:os";
import { POOLINGS, TASKS, type TaskOptions, taskFields } from "../../core/embedding.ts";
import { EngineError, RequestError } from "../../core/errors.ts";
import { memoryLimit } from "../../core/memory-limit.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import { type Fields, flag, list, oneOf, optionsField, text, unchecked, whole } from "../../core/options.ts";
import type { EngineSettings } from "../../core/request.ts";
import { modelShape } from "./graph/model-shape.ts";
import { ISOLATIONS, type Isolation } from "./host/load-host.ts";
import type { HostOptions } from "./host/protocol.ts";
import { type CacheType, cacheBytesPerToken } from "./model/cache-size.ts";
import type { GgufHeader } from "./model/gguf.ts";
import { findGpuLibraries, GPU_KINDS, type GpuChoice } from "./native/gpu.ts";
import { findLibrary } from "./native/library.ts";
import { defaultThreads } from "./native/threads.ts";
import { cpuMoeOverrides, type TensorOverride } from "./run/device-placement.ts";
import type { Purpose, PurposeRequest } from "./run/purpose.ts";
import type { Strategy } from "./tap/tap.ts";

/** How to load a model into the embedded llama.cpp. */
export interface LlamaOptions extends TaskOptions {
  /** Tokens the key-value cache holds for all samples that run together; the longest sample. Default: 4096, or less if the model was trained for less. */
  readonly contextSize?: number;
  /** Samples run together at most. Default 4; always 1 where attention is not causal and values go through a GELU. */
  readonly parallel?: number;
  /**
   * Tokens a step holds at most (llama.cpp's ubatch). Default 512. A prompt that must run whole (attention that is not
   * causal, all poolings but `last`) and is longer has a step of its own.
   */
  readonly batchSize?: number;
  /** Threads that compute. Default: one a physical core, fewer for models below 16 MB a thread. */
  readonly threads?: number;
  /** Element type of the key-value cache. Default f16, as llama.cpp; f32 for comparisons against references. */
  readonly kvType?: CacheType;
  /** Default: as llama.cpp decides; false for comparisons against references. */
  readonly flashAttention?: boolean;
  /** What computes. Default `auto`: the first kind of GPU that is installed and works, else the CPU. */
  readonly gpu?: GpuChoice;
  /** Layers on the GPU, counted from the last, and one more for the output. Default: all. Means nothing without a GPU. */
  readonly gpuLayers?: number;
  /** The routed experts of all layers (true) or of the first n stay in the CPU's memory. Default false. */
  readonly cpuMoe?: boolean | number;
  /** Where tensors go by name; the first that matches counts, and before `cpuMoe`. */
  readonly overrideTensors?: readonly TensorOverride[];
  /** How captured tensors leave the graph. Default `auto`. */
  readonly strategy?: Strategy;
  /**
   * Where llama.cpp runs: in a `process` of its own (default), which a file may crash or hang without harm to this one; or
   * in a `thread` of this process, for files one trusts: it starts again in a tenth of the time.
   */
  readonly isolate?: Isolation;
  /**
   * Milliseconds in which each step of a run must end. A host that takes longer counts as hung: it is ended, and the run
   * rejects with `ENGINE_CRASHED`. Default: ten minutes, and a second more for each 10 MB of the model.
   */
  readonly stepTimeout?: number;
}

/** The options, read strictly; what the model's file limits, {@link hostOptions} checks. */
export const llamaFields: Fields<LlamaOptions> = {
  ...taskFields,
  contextSize: unchecked,
  parallel: unchecked,
  batchSize: unchecked,
  threads: unchecked,
  kvType: unchecked,
  flashAttention: flag,
  gpu: (value, name) => (value === false ? false : oneOf(["auto", ...GPU_KINDS])(value, name)),
  gpuLayers: unchecked,
  cpuMoe: (value, name) => (typeof value === "boolean" ? value : whole(0)(value, name)),
  overrideTensors: list(optionsField<TensorOverride>({ pattern: text, device: text }, ["pattern", "device"])),
  strategy: oneOf<Strategy>(["auto", "redirect", "copy"]),
  isolate: unchecked,
  stepTimeout: whole(1),
};

/** @throws RequestError for a misspelt one: it must not quietly be less safe. */
export function isolationOf({ isolate = "process" }: LlamaOptions): Isolation {
  if (ISOLATIONS.includes(isolate)) return isolate;
  throw new RequestError(
    "INVALID_ARGUMENT",
    `isolate must be ${ISOLATIONS.map((each) => `"${each}"`).join(" or ")}, got "${isolate}"`,
  );
}

/**
 * What the host is started with.
 *
 * @throws RequestError `INVALID_ARGUMENT`; EngineError when llama.cpp is missing or the cache cannot exist.
 */
export function hostOptions(header: GgufHeader, model: ModelInfo, options: LlamaOptions): HostOptions {
  const whole = (name: keyof LlamaOptions, value: number, max: number, min = 1): number => {
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${name} must be a whole number from ${min} to ${max}, got ${value}`,
    );
  };
  const { gpu = "auto", gpuLayers, cpuMoe = false, overrideTensors = [] } = options;
  overrideTensors.forEach(checkPattern);
  const contextSize = whole(
    "contextSize",
    options.contextSize ?? Math.min(4096, model.contextLength || 4096),
    1 << 30,
  );
  checkPositions(header, contextSize);
  const batchSize = whole("batchSize", Math.min(options.batchSize ?? 512, contextSize), 1 << 16);
  const kvType = options.kvType ?? "f16";
  if (!["f32", "f16", "q8_0"].includes(kvType))
    throw new RequestError("INVALID_ARGUMENT", `kvType must be f32, f16 or q8_0, got ${kvType}`);
  checkMemory(header, model, contextSize, kvType);
  return {
    files: findLibrary(),
    gpu,
    gpuLibraries: findGpuLibraries(gpu),
    placement: {
      gpuLayers: gpuLayers === undefined ? null : whole("gpuLayers", gpuLayers, 1 << 16, 0),
      overrides: [
        ...overrideTensors,
        ...cpuMoeOverrides(typeof cpuMoe === "boolean" ? cpuMoe : whole("cpuMoe", cpuMoe, model.layers, 0)),
      ],
    },
    path: header.files[0]!,
    contextSize,
    // llama.cpp's LLAMA_MAX_SEQ is 256; it ends the process when a step cannot hold a token of each sample.
    parallel: Math.min(whole("parallel", options.parallel ?? 4, 256), batchSize),
    batchSize,
    threads: whole("threads", options.threads ?? defaultThreads(model.bytes), 512),
    kvType,
    flashAttention: options.flashAttention ?? "auto",
    strategy: options.strategy ?? "auto",
    shape: modelShape(model),
    purpose: purposeRequest(header, model, options),
  };
}

function purposeRequest(
  { tensors, metadata }: GgufHeader,
  { architecture, pooling: filePooling }: ModelInfo,
  { task, pooling, normalize }: LlamaOptions,
): PurposeRequest {
  const oneOf = <T extends string>(name: string, values: readonly T[], value: T | undefined): T | null => {
    if (value === undefined || values.includes(value)) return value ?? null;
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${name} must be one of ${values.join(", ")}, got ${JSON.stringify(value)}`,
    );
  };
  if (normalize !== undefined && typeof normalize !== "boolean")
    throw new RequestError("INVALID_ARGUMENT", `normalize must be true or false, got ${normalize}`);
  return {
    task: oneOf("task", TASKS, task),
    pooling: oneOf("pooling", POOLINGS, pooling),
    normalize: normalize ?? null,
    filePooling: filePooling ?? null,
    fileCausal: (metadata[`${architecture}.attention.causal`] as boolean | undefined) ?? null,
    // jina-reranker has one matrix, straight to the score.
    classifier: tensors.some(
      ({ name, shape }) => name === "cls.output.weight" || (name === "cls.weight" && Number(shape[1]) === 1),
    ),
    encoder: tensors.some(({ name }) => name.startsWith("enc.blk.")),
  };
}

/** A position beyond the learned ones has no row: llama.cpp would end the process. */
function checkPositions({ tensors }: GgufHeader, contextSize: number): void {
  const learned = tensors.find(({ name }) => name === "position_embd.weight")?.shape[1];
  if (learned === undefined || contextSize <= Number(learned)) return;
  throw new RequestError(
    "INVALID_ARGUMENT",
    `contextSize ${contextSize} is more than the ${learned} positions this model has learned; load it with at most that`,
  );
}

/** A pattern that is none would be an exception in native code. */
function checkPattern({ pattern }: TensorOverride): void {
  try {
    new RegExp(pattern);
    if (!pattern.includes("\0")) return;
  } catch {
    // Said below.
  }
  throw new RequestError(
    "INVALID_ARGUMENT",
    `overrideTensors: ${JSON.stringify(pattern)} is no regular expression`,
  );
}

/** Threads and the way tensors leave the graph change no value. */
export function settingsOf(
  { contextSize, parallel, batchSize, kvType, flashAttention, purpose: asked }: HostOptions,
  { task, embedding }: Purpose,
): EngineSettings {
  const left = flashAttention === "auto" ? {} : { flashAttention };
  const embed = task === "embed" ? (embedding ?? { pooling: "none" }) : {};
  // What generates by itself needs no word.
  const named = task === "embed" || asked.task !== null ? { task } : {};
  return { contextSize, parallel, batchSize, kvType, ...left, ...named, ...embed };
}

/** Refuse a cache that cannot exist: the operating system might promise the memory and kill the process later. */
function checkMemory(header: GgufHeader, model: ModelInfo, contextSize: number, kvType: CacheType): void {
  const bytes = model.layers * contextSize * cacheBytesPerToken(header, model, kvType);
  const memory = memoryLimit() ?? totalmem();
  const gib = (n: number) => `${(n / 2 ** 30).toFixed(1)} GiB`;
  if (bytes > memory)
    throw new EngineError(
      "OUT_OF_MEMORY",
      `a context of ${contextSize} tokens needs about ${gib(bytes)} for the key-value cache, the machine has ` +
        `${gib(memory)}; use a smaller contextSize or kvType q8_0`,
    );
}
