import { EngineError, ModelError, RequestError } from "../../../core/errors.ts";
import type { EditSupport } from "../../../core/planned-edit.ts";
import type { RowShapes } from "../../../core/row-shapes.ts";
import { ON_CPU_ONLY } from "../edit/edit-layout.ts";
import { editSupport, refusedEverywhere } from "../graph/edit-points.ts";
import type { KnownGraph } from "../graph/known-graphs.ts";
import type { WorkerOptions } from "../host/protocol.ts";
import {
  FLASH_ATTENTION,
  GGML_TYPE,
  type Llama,
  type NativeBatch,
  POOLING_TYPE,
} from "../native/bindings.ts";
import { type Device, loadGpus, type NativeDevice } from "../native/devices.ts";
import { addressOf, floatsAt } from "../native/native-memory.ts";
import { openLlama } from "../native/open-llama.ts";
import type { Pointer } from "../native/pointers.ts";
import { firstLook, PROBE_TOKENS } from "../tap/first-look.ts";
import { GateCheck } from "../tap/gate-check.ts";
import { type GraphTensors, graphTensors } from "../tap/graph-tensors.ts";
import { type LayerRoutes, layerRoutes } from "../tap/layer-routes.ts";
import { lookAtStep } from "../tap/look-at-step.ts";
import { streamShapes } from "../tap/stream-shapes.ts";
import { type GraphUse, Tap } from "../tap/tap.ts";
import type { Targets } from "../tap/targets.ts";
import { type ComputeStep, computeStepOf } from "./compute-step.ts";
import { contextSizes, sameContext, stepSize } from "./context-sizes.ts";
import { type Placement, placementOf } from "./device-placement.ts";
import { returnFreedMemory } from "./freed-memory.ts";
import { loadModel, ON_GPU, reason } from "./load-model.ts";
import { likelyPurpose, type Purpose, purposeOf } from "./purpose.ts";
import { Vocabulary } from "./vocabulary.ts";

/** `ggml_log_level`. */
const LOG_ERROR = 4;
const LOG_CONT = 5;

interface LoadedModel {
  readonly model: Pointer;
  readonly gpus: readonly NativeDevice[];
  readonly placement: Placement;
  readonly purpose: Purpose;
}

/** A model and its context in this thread, and the tap on its graphs. Owns all that is native. */
export class Session {
  readonly llama: Llama;
  readonly tap: Tap;
  readonly vocabulary: Vocabulary;
  readonly contextSize: number;
  /** How the layers route, by the graph. */
  readonly routes: LayerRoutes;
  /** What of the graph can be changed. */
  readonly edits: EditSupport;
  readonly gates: GateCheck;
  /** Sequences that may share a step. */
  readonly parallel: number;

  readonly #loaded: LoadedModel;
  readonly #options: WorkerOptions;
  readonly #compute: ComputeStep;
  #context: Pointer;
  /** Whether the context computes attention in steps though it was not loaded so. */
  #attentionSteps = false;
  /** What the present graph captures, where a run has ended well with it. */
  #captured: string | null = null;
  /** By that, what its graph has. */
  readonly #tensors = new Map<boolean, GraphTensors>();
  /** By that, the streams in its graph. */
  readonly #streams = new Map<boolean, RowShapes>();
  /** Graphs that llama.cpp was made to build. */
  #graphs = 0;

  private constructor(
    llama: Llama,
    loaded: LoadedModel,
    options: WorkerOptions,
    { context, tap, routes, edits, gates }: Pick<Session, "context" | "tap" | "routes" | "edits" | "gates">,
  ) {
    this.llama = llama;
    this.routes = routes;
    this.edits = edits;
    this.gates = gates;
    this.#loaded = loaded;
    this.#options = options;
    this.#context = context;
    this.tap = tap;
    this.#compute = computeStepOf(llama, loaded.model);
    this.parallel = loaded.purpose.together ? sequencesOf(llama, loaded, options) : 1;
    this.vocabulary = new Vocabulary(llama, loaded.model);
    this.contextSize = llama.contextSize(context);
  }

  get context(): Pointer {
    return this.#context;
  }

  get memory(): Pointer {
    return this.llama.getMemory(this.#context);
  }

  get model(): Pointer {
    return this.#loaded.model;
  }

  get purpose(): Purpose {
    return this.#loaded.purpose;
  }

  /** Tokens a step may have. */
  get stepSize(): number {
    return stepSize(this.#loaded.purpose, this.#options);
  }

  /** Run a step; 0 is success. */
  compute(batch: NativeBatch): number {
    return this.#compute(this.#context, batch);
  }

  /** The pooled embedding of a sequence whose last tokens were in the step before, as llama.cpp made it. */
  embedding(sequence: number): Float32Array {
    const { llama, model, purpose } = this;
    const address = llama.pooledEmbedding(this.#context, sequence);
    if (address === null)
      throw new EngineError("ENGINE_FAILED", `llama.cpp made no pooled embedding of sequence ${sequence}`);
    const size = purpose.embedding?.pooling === "rank" ? llama.classes(model) : llama.embeddingSize(model);
    return floatsAt(address, size);
  }

  /** GPUs that hold part of the model. */
  get gpus(): readonly Device[] {
    return this.#loaded.gpus;
  }

  /** @throws EngineError or ModelError with what llama.cpp said. */
  static open(options: WorkerOptions): Session {
    const llama = openLlama(options.files);
    return withLog(llama, (errors) => {
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
        assertReadsText(llama, model, options);
        const purpose = likelyPurpose(options.purpose);
        return Session.#withContext(llama, { model, gpus, placement, purpose }, options, errors);
      } catch (error) {
        llama.freeModel(model);
        throw error;
      }
    });
  }

  /** With a context for what the model's graph shows it to be; mostly that is what its file says. */
  static #withContext(llama: Llama, likely: LoadedModel, options: WorkerOptions, errors: string[]): Session {
    const tap = new Tap(llama, options.strategy, options.shape);
    const make = (loaded: LoadedModel) =>
      makeContext(llama, loaded, options, tap, options.flashAttention, errors);
    let context: Pointer | null = null;
    try {
      context = make(likely);
      let streams: RowShapes = new Map();
      let routes: LayerRoutes = new Map();
      let edits: EditSupport = new Map();
      const built = ({ taps }: KnownGraph) => {
        streams = streamShapes(taps, options.flashAttention === false);
        routes = layerRoutes(taps);
        edits =
          likely.gpus.length === 0 ? editSupport(taps) : refusedEverywhere(editSupport(taps), ON_CPU_ONLY);
      };
      const purpose = purposeOf(options.purpose, firstLook(llama, likely.model, tap, context, built));
      const loaded = { ...likely, purpose };
      if (!sameContext(purpose, likely.purpose)) {
        llama.freeContext(context);
        context = null;
        context = make(loaded);
        tap.forgetGraphs();
      }
      const gates = new GateCheck(llama, routes, streams, options.shape.architecture);
      const session = new Session(llama, loaded, options, { context, tap, routes, edits, gates });
      session.#streams.set(false, streams);
      // A step like the one that was looked at would use its graph again.
      session.invalidateGraph();
      return session;
    } catch (error) {
      if (context !== null) llama.freeContext(context);
      tap.close();
      throw error;
    }
  }

  /**
   * Compute attention in steps, for captures of it, or as the model was loaded: with another context, as llama.cpp
   * cannot change it in one. Call between runs.
   *
   * @throws EngineError `OUT_OF_MEMORY`, with the context as it was; RequestError where the cache does not allow it.
   */
  computeAttention(inSteps: boolean): void {
    const { flashAttention, kvType } = this.#options;
    const wanted = inSteps && flashAttention !== false;
    if (wanted === this.#attentionSteps) return;
    if (wanted && kvType === "q8_0")
      throw new RequestError(
        "INVALID_ARGUMENT",
        "attention is computed without flash attention, which a cache of kvType q8_0 needs; load with kvType f16 or f32",
      );
    this.#captured = null;
    withLog(this.llama, (errors) => {
      const make = (flash: boolean | "auto") =>
        makeContext(this.llama, this.#loaded, this.#options, this.tap, flash, errors);
      // Two at once might not fit.
      this.llama.freeContext(this.#context);
      this.tap.forgetGraphs();
      try {
        this.#context = make(wanted ? false : flashAttention);
      } catch (error) {
        this.#context = make(this.#attentionSteps ? false : flashAttention);
        throw error;
      }
      this.#attentionSteps = wanted;
    });
  }

  /** What the graph has that is built at present. Call between runs. */
  tensors(): GraphTensors {
    const found = this.#tensors.get(this.#attentionSteps);
    if (found) return found;
    const { shape, batchSize } = this.#options;
    this.#captured = null;
    const tensors = graphTensors(this, shape.layers, batchSize);
    this.#tensors.set(this.#attentionSteps, tensors);
    return tensors;
  }

  /** The streams in the graph that is built at present, by layer: what a row is, or why they are refused. Call between runs. */
  streams(): RowShapes {
    const found = this.#streams.get(this.#attentionSteps);
    if (found) return found;
    this.#captured = null;
    let streams: RowShapes = new Map();
    lookAtStep(this, PROBE_TOKENS, {
      built: ({ taps }) => {
        streams = streamShapes(taps, true);
      },
    });
    this.#streams.set(this.#attentionSteps, streams);
    return streams;
  }

  /**
   * What the next run captures; see {@link Tap.setTargets}. A graph that captures just that already is used on, as
   * llama.cpp measures its memory anew for a new one.
   *
   * @returns call it when the run has ended well: after another its graph cannot be trusted.
   */
  capture(targets: Targets, options: GraphUse): () => void {
    const wanted = JSON.stringify([options, targets]);
    if (wanted !== this.#captured) {
      this.tap.setTargets(targets, options);
      this.invalidateGraph();
    }
    this.#captured = null;
    return () => {
      this.#captured = wanted;
    };
  }

  /**
   * Make llama.cpp build a new graph at the next step: by changing something that no graph here depends on, or, where
   * that cannot be changed, by toggling the attention type and back, after which llama.cpp also measures its memory anew.
   */
  invalidateGraph(): void {
    if (this.llama.setNextHead) {
      this.#graphs++;
      this.llama.setNextHead(this.context, this.#graphs);
      return;
    }
    const { causal } = this.purpose;
    this.llama.setCausalAttention(this.context, !causal);
    this.llama.setCausalAttention(this.context, causal);
  }

  close(): void {
    this.llama.freeContext(this.context);
    this.tap.close();
    this.llama.freeModel(this.model);
    this.llama.memory.forget();
    returnFreedMemory();
  }
}

/** Run something while llama.cpp's errors go into a list. */
function withLog<R>(llama: Llama, work: (errors: string[]) => R): R {
  const errors: string[] = [];
  const log = llama.registerLog((level, text) => {
    if (level === LOG_ERROR || (level === LOG_CONT && errors.length > 0)) errors.push(text.trim());
  });
  llama.setLog(log, null);
  try {
    return work(errors);
  } finally {
    // The log is one per process: a callback into this thread must not stay behind for other engines' threads.
    llama.setLog(llama.silentLog, null);
    llama.unregister(log);
  }
}

/** Recurrent layers make llama.cpp reorder the tokens of a batch; one sequence at a time keeps them in order. */
const sequencesOf = (llama: Llama, { model }: LoadedModel, { parallel }: WorkerOptions) =>
  llama.isHybrid(model) || llama.isRecurrent(model) ? 1 : parallel;

/**
 * An encoder with a decoder behind it (T5) runs its encoder. EAGLE-3 and DFlash have an encoder too, which reads what
 * another model computed.
 *
 * @throws ModelError `MODEL_UNSUPPORTED`.
 */
function assertReadsText(llama: Llama, model: Pointer, { path, purpose }: WorkerOptions): void {
  if (llama.hasEncoder(model) && !purpose.encoder)
    throw new ModelError(
      "MODEL_UNSUPPORTED",
      `${path} drafts for another model, whose hidden states it reads: it cannot run on its own; load the other model`,
    );
}

function makeContext(
  llama: Llama,
  loaded: LoadedModel,
  options: WorkerOptions,
  tap: Tap,
  flash: boolean | "auto",
  errors: readonly string[],
): Pointer {
  const { model, gpus, purpose } = loaded;
  const sizes = contextSizes(purpose, sequencesOf(llama, loaded, options), options);
  const kvType = { f32: GGML_TYPE.F32, f16: GGML_TYPE.F16, q8_0: GGML_TYPE.Q8_0 }[options.kvType];
  const context = llama.newContext(model, {
    ...llama.contextDefaults(),
    n_ctx: sizes.context,
    // One llama_decode is one ubatch: a reused graph writes every ubatch to the same place.
    n_batch: sizes.step,
    n_ubatch: sizes.step,
    n_seq_max: sizes.sequences,
    n_threads: options.threads,
    n_threads_batch: options.threads,
    flash_attn_type:
      flash === "auto" ? FLASH_ATTENTION.auto : flash ? FLASH_ATTENTION.on : FLASH_ATTENTION.off,
    type_k: kvType,
    type_v: kvType,
    // One cache for all sequences: llama.cpp then keeps the order of the batch.
    kv_unified: true,
    ...(purpose.embedding && { embeddings: true, pooling_type: POOLING_TYPE[purpose.embedding.pooling] }),
    cb_eval: tap.callback,
    abort_callback: llama.isEmptyAddress,
    abort_callback_data: addressOf(new Uint8Array(options.abort)),
  });
  if (context !== null) return context;
  throw new EngineError(
    "OUT_OF_MEMORY",
    `llama.cpp could not make a context of ${options.contextSize} tokens: ${reason(errors)}; try a smaller ` +
      `contextSize or batchSize, or kvType q8_0${gpus.length > 0 ? `, ${ON_GPU}` : ""}`,
  );
}
