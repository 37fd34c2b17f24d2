import { TASKS, type TaskOptions, taskFields } from "../../core/embedding.ts";
import { RequestError } from "../../core/errors.ts";
import { nearMiss } from "../../core/near-miss.ts";
import {
  callback,
  type Field,
  type Fields,
  list,
  optionsField,
  optionsReader,
  text,
  whole,
} from "../../core/options.ts";
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
  /**
   * Milliseconds in which each step of a run must end. A worker that takes longer counts as hung: it is ended, and the run
   * rejects with `ENGINE_CRASHED`. Default: ten minutes, and a second more for each 10 MB of the model.
   */
  readonly stepTimeout?: number;
  readonly onStart?: (progress: StartProgress) => void;
}

/** The options that are this library's, not vLLM's. */
const ownFields: Fields<Omit<VllmOptions, keyof EngineArguments>> = {
  ...taskFields,
  python: text,
  streams: list<StreamName>(text as Field<StreamName>),
  limits: optionsField<NonNullable<VllmOptions["limits"]>>({ hostBytes: whole(1), spoolBytes: whole(1) }),
  startTimeout: whole(1),
  stepTimeout: whole(1),
  onStart: callback<(progress: StartProgress) => void>,
};

/** vLLM's engine arguments that have a name here. vLLM knows the others, and refuses those that are none. */
const NAMED: readonly (keyof EngineArguments)[] = [
  "tensorParallelSize",
  "pipelineParallelSize",
  "dataParallelSize",
  "enableExpertParallel",
  "dtype",
  "quantization",
  "maxModelLen",
  "maxNumBatchedTokens",
  "maxNumSeqs",
  "gpuMemoryUtilization",
  "enforceEager",
  "enablePrefixCaching",
  "trustRemoteCode",
  "revision",
];

/**
 * The options, read as strictly as is possible here.
 *
 * @throws RequestError `INVALID_ARGUMENT` for one of ours that is wrong, and for a name that no engine argument can have.
 */
export function readVllmOptions(given: object): VllmOptions {
  const isOwn = (name: string) => Object.hasOwn(ownFields, name);
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  const known = [...Object.keys(ownFields), ...NAMED].map(String);
  for (const [name] of entries) if (!known.includes(name)) assertArgument(name, known);
  const own = optionsReader<Omit<VllmOptions, keyof EngineArguments>>("load", ownFields);
  return {
    ...Object.fromEntries(entries.filter(([name]) => !isOwn(name))),
    ...own(Object.fromEntries(entries.filter(([name]) => isOwn(name)))),
  };
}

/** An engine argument's name is in camelCase, and no other spelling of one that is named here. */
function assertArgument(name: string, known: readonly string[]): void {
  const plain = (text: string) => text.toLowerCase().replaceAll("_", "");
  const same = known.find((other) => plain(other) === plain(name));
  const isCamel = /^[a-z][A-Za-z0-9]*$/.test(name);
  if (isCamel && same === undefined) return;
  const camel = name.replace(/_+([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase());
  const meant = same ?? nearMiss(name, known) ?? camel;
  throw new RequestError(
    "INVALID_ARGUMENT",
    `load has no option ${JSON.stringify(name)}: did you mean ${meant}? vLLM's engine arguments are written in camelCase`,
  );
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
