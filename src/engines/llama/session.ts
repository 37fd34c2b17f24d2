import { EngineError, ModelError } from "../../errors.ts";
import { FLASH_ATTENTION, GGML_TYPE, type Llama, type Pointer } from "./bindings.ts";
import { type Device, loadGpus, type NativeDevice } from "./devices.ts";
import { addressOf } from "./memory.ts";
import { openLlama } from "./open-llama.ts";
import { type Placement, placementOf } from "./placement.ts";
import type { WorkerOptions } from "./protocol.ts";
import { Tap } from "./tap.ts";
import { Vocabulary } from "./vocabulary.ts";

/** `ggml_log_level`. */
const LOG_ERROR = 4;
const LOG_CONT = 5;

interface LoadedModel {
  readonly model: Pointer;
  readonly gpus: readonly NativeDevice[];
  readonly placement: Placement;
}

/** A model and its context in this thread, and the tap on its graphs. Owns all that is native. */
export class Session {
  readonly llama: Llama;
  readonly context: Pointer;
  readonly memory: Pointer;
  readonly tap: Tap;
  readonly vocabulary: Vocabulary;
  readonly contextSize: number;
  /** Sequences that may share a step. */
  readonly parallel: number;

  readonly #loaded: LoadedModel;

  private constructor(llama: Llama, loaded: LoadedModel, context: Pointer, tap: Tap, parallel: number) {
    this.llama = llama;
    this.#loaded = loaded;
    this.context = context;
    this.tap = tap;
    this.parallel = parallel;
    this.memory = llama.getMemory(context);
    this.vocabulary = new Vocabulary(llama, loaded.model);
    this.contextSize = llama.contextSize(context);
  }

  get model(): Pointer {
    return this.#loaded.model;
  }

  /** GPUs that hold part of the model. */
  get gpus(): readonly Device[] {
    return this.#loaded.gpus;
  }

  /** @throws EngineError or ModelError with what llama.cpp said. */
  static open(options: WorkerOptions): Session {
    const llama = openLlama(options.files);
    const errors: string[] = [];
    const log = llama.registerLog((level, text) => {
      if (level === LOG_ERROR || (level === LOG_CONT && errors.length > 0)) errors.push(text.trim());
    });
    llama.setLog(log, null);
    try {
      llama.loadBackends(options.files.folder);
      llama.backendInit();
      if (llama.deviceCount() === 0)
        throw new EngineError(
          "ENGINE_UNAVAILABLE",
          `no ggml backend in ${options.files.folder} runs on this machine`,
        );
      const gpus = loadGpus(llama, options.gpu, options.gpuLibraries, errors);
      // What a backend that is not there said is no reason for what follows.
      errors.length = 0;
      const placement = placementOf(llama, gpus, options.placement);
      const model = loadModel(llama, placement, options, errors);
      try {
        return Session.#withContext(llama, { model, gpus, placement }, options, errors);
      } catch (error) {
        llama.freeModel(model);
        throw error;
      }
    } finally {
      // The log is one per process: a callback into this thread must not stay behind for other engines' threads.
      llama.setLog(llama.silentLog, null);
      llama.unregister(log);
    }
  }

  static #withContext(llama: Llama, loaded: LoadedModel, options: WorkerOptions, errors: string[]): Session {
    const { model, gpus } = loaded;
    if (!llama.hasDecoder(model) || llama.hasEncoder(model) || llama.isDiffusion(model))
      throw new ModelError("MODEL_UNSUPPORTED", `${options.path} is not a decoder-only language model`);
    const tap = new Tap(llama, options.strategy);
    // Recurrent layers make llama.cpp reorder the tokens of a batch; one sequence at a time keeps them in order.
    const parallel = llama.isHybrid(model) || llama.isRecurrent(model) ? 1 : options.parallel;
    const kvType = { f32: GGML_TYPE.F32, f16: GGML_TYPE.F16, q8_0: GGML_TYPE.Q8_0 }[options.kvType];
    const flash = options.flashAttention;
    const context = llama.newContext(model, {
      ...llama.contextDefaults(),
      n_ctx: options.contextSize,
      // One llama_decode is one ubatch: a reused graph writes every ubatch to the same place.
      n_batch: options.batchSize,
      n_ubatch: options.batchSize,
      n_seq_max: parallel,
      n_threads: options.threads,
      n_threads_batch: options.threads,
      flash_attn_type:
        flash === "auto" ? FLASH_ATTENTION.auto : flash ? FLASH_ATTENTION.on : FLASH_ATTENTION.off,
      type_k: kvType,
      type_v: kvType,
      // One cache for all sequences: llama.cpp then keeps the order of the batch.
      kv_unified: true,
      cb_eval: tap.callback,
      abort_callback: llama.isEmptyAddress,
      abort_callback_data: addressOf(new Uint8Array(options.abort)),
    });
    if (context === null) {
      tap.close();
      throw new EngineError(
        "OUT_OF_MEMORY",
        `llama.cpp could not make a context of ${options.contextSize} tokens: ${reason(errors)}; try a smaller ` +
          `contextSize or batchSize, or kvType q8_0${gpus.length > 0 ? `, ${ON_GPU}` : ""}`,
      );
    }
    return new Session(llama, loaded, context, tap, parallel);
  }

  /** Make llama.cpp build a new graph at the next step: toggling the attention type and back does just that. */
  invalidateGraph(): void {
    this.llama.setCausalAttention(this.context, false);
    this.llama.setCausalAttention(this.context, true);
  }

  close(): void {
    this.llama.freeContext(this.context);
    this.tap.close();
    this.llama.freeModel(this.model);
  }
}

/** What helps when a GPU's memory is too small. */
const ON_GPU = "fewer gpuLayers, cpuMoe, or gpu: false";

/** @throws ModelError or EngineError with what llama.cpp said. */
function loadModel(
  llama: Llama,
  { params }: Placement,
  options: WorkerOptions,
  errors: readonly string[],
): Pointer {
  const model = llama.loadModel(options.path, {
    ...llama.modelDefaults(),
    ...params,
    // An abort ends the loading too: llama.cpp goes on while its progress callback says so.
    progress_callback: llama.isScalarAddress,
    progress_callback_user_data: addressOf(new Uint8Array(options.abort)),
  });
  if (model !== null) return model;
  const why = `llama.cpp could not load ${options.path}: ${reason(errors)}`;
  if (params.n_gpu_layers !== 0 && /alloc|memory/i.test(errors.join(" ")))
    throw new EngineError("OUT_OF_MEMORY", `${why}; if the GPU's memory is too small, use ${ON_GPU}`);
  throw new ModelError("MODEL_INVALID", why);
}

function reason(errors: readonly string[]): string {
  const lines = errors.filter((line) => line.length > 0);
  return lines.length > 0 ? lines.slice(0, 3).join("; ") : "it gave no reason";
}
