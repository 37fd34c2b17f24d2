import { TASKS, type TaskOptions } from "../../core/embedding.ts";
import { RequestError } from "../../core/errors.ts";
import type { EngineSettings } from "../../core/request.ts";
import type { StreamName } from "../../core/streams.ts";

/** How far vLLM's start is. */
export interface StartProgress {
  /** `import`, `model`, `weights`, `compile`, `cache`, `graphs` or `engine`. */
  readonly stage: string;
  /** In words, for people. */
  readonly text: string;
  /** Of the stage, from 0 to 1, where that is known. */
  readonly fraction: number | null;
}

/** vLLM's engine arguments that people set most; every other one may be given too, in camelCase. */
export interface EngineArguments {
  /** GPUs that share each layer. */
  readonly tensorParallelSize?: number;
  /** GPUs, or groups of them, that share the layers one after the other. */
  readonly pipelineParallelSize?: number;
  readonly dataParallelSize?: number;
  readonly enableExpertParallel?: boolean;
  /** `auto` (default: as the checkpoint says), `float32`, `bfloat16` or `float16`. */
  readonly dtype?: string;
  readonly quantization?: string;
  /** Tokens of the longest sample. Default: what the model was trained for. */
  readonly maxModelLen?: number;
  readonly maxNumBatchedTokens?: number;
  readonly maxNumSeqs?: number;
  /** Share of each GPU's memory that vLLM may take. */
  readonly gpuMemoryUtilization?: number;
  readonly enforceEager?: boolean;
  readonly enablePrefixCaching?: boolean;
  readonly trustRemoteCode?: boolean;
  readonly revision?: string;
  readonly [argument: string]: unknown;
}

/** How to start vLLM; what is not named here is an engine argument. */
export interface VllmOptions extends EngineArguments, TaskOptions {
  /** A Python that has vLLM. Default: `MOESCOPE_PYTHON`, else what `moescope setup vllm` made. */
  readonly python?: string;
  /** The streams that may be asked for. Default all; hidden states cost a little when nobody asks. */
  readonly streams?: readonly StreamName[];
  /** Bytes of rows that may wait in memory, and on disk, to be taken. Default 1 GiB and 8 GiB. */
  readonly limits?: { readonly hostBytes?: number; readonly spoolBytes?: number };
  /** In milliseconds. Default 30 minutes: weights may have to be downloaded. */
  readonly startTimeout?: number;
  readonly onStart?: (progress: StartProgress) => void;
}

/** vLLM's names of poolings; `rank` is a conversion of the model instead. */
const POOLING_TYPES = { mean: "MEAN", cls: "CLS", last: "LAST", rank: null } as const;

/**
 * Engine arguments that load the model for its task. What is not told here is as the checkpoint says.
 *
 * @throws RequestError `INVALID_ARGUMENT` for what vLLM does not have, and for a task told twice.
 */
export function forTask({
  task,
  pooling,
  normalize,
  ...args
}: EngineArguments & TaskOptions): EngineArguments {
  const refuse = (what: string) => {
    throw new RequestError("INVALID_ARGUMENT", what);
  };
  if (task !== undefined && !TASKS.includes(task))
    refuse(`task must be ${TASKS.join(" or ")}, got ${JSON.stringify(task)}`);
  if (normalize !== undefined && typeof normalize !== "boolean")
    refuse(`normalize must be true or false, got ${normalize}`);
  if (task !== "embed" && (pooling !== undefined || normalize !== undefined))
    refuse(`${pooling !== undefined ? "pooling" : "normalize"} goes with task "embed"`);
  if (task === undefined) return args;
  for (const name of ["runner", "convert", "poolerConfig"])
    if (args[name] !== undefined) refuse(`task and ${name} say the same in two ways; leave one of them out`);
  if (task === "generate") return { ...args, runner: "generate" };
  if (pooling === "none") refuse("vLLM makes a vector of each prompt: pooling none is llama.cpp's");
  if (pooling !== undefined && !Object.hasOwn(POOLING_TYPES, pooling))
    refuse(
      `pooling must be one of ${Object.keys(POOLING_TYPES).join(", ")} in vLLM, got ${JSON.stringify(pooling)}`,
    );
  if (pooling === "rank" && normalize !== undefined)
    refuse("pooling rank gives scores, which are never scaled; leave normalize out");
  const type = pooling && POOLING_TYPES[pooling as keyof typeof POOLING_TYPES];
  const poolerConfig = {
    ...(type && { seq_pooling_type: type }),
    ...(normalize !== undefined && { use_activation: normalize }),
  };
  return {
    ...args,
    runner: "pooling",
    ...(pooling === "rank" && { convert: "classify" }),
    ...(Object.keys(poolerConfig).length > 0 && { poolerConfig }),
  };
}

/** `maxModelLen` -> `max_model_len`, undefined ones left out. */
export function engineArguments(options: EngineArguments): Record<string, unknown> {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    given.map(([name, value]) => {
      if (!/^[a-z][A-Za-z0-9]*$/.test(name))
        throw new RequestError(
          "INVALID_ARGUMENT",
          `${JSON.stringify(name)} is no engine argument in camelCase`,
        );
      return [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value];
    }),
  );
}

/** What values may depend on, for the manifest, as it was given. */
export function settingsOf(options: EngineArguments): EngineSettings {
  const scalars = Object.entries(options).filter((entry): entry is [string, string | number | boolean] =>
    ["string", "number", "boolean"].includes(typeof entry[1]),
  );
  return { engine: "vllm", ...Object.fromEntries(scalars) };
}
