/**
 * The native boundary: everything that knows an address, a struct layout or a symbol of llama.cpp is here, in
 * `device-bindings.ts`, `tensor-reader.ts` and `abi.ts`, and belongs to the version in `library.ts`. Nothing is called
 * before `openLlama` has checked version, symbols and layouts; callers pass checked values only.
 *
 * One instance per thread: koffi's handles and callbacks are bound to the thread that made them.
 */

import koffi from "koffi";
import { bindDevices } from "./device-bindings.ts";
import type { LibraryFiles } from "./library.ts";
import { Memory } from "./native-memory.ts";
import type { Pointer, TensorPointer } from "./pointers.ts";

/** `ggml_type` values the captured tensors have. */
export const GGML_TYPE = { F32: 0, F16: 1, Q8_0: 8, I32: 26 } as const;
/** `GGML_TENSOR_FLAG_OUTPUT`: kernels that fuse operations still write a tensor that carries it. */
export const GGML_TENSOR_FLAG_OUTPUT = 2;
export const FLASH_ATTENTION = { auto: -1, off: 0, on: 1 } as const;
/** `llama_pooling_type`. */
export const POOLING_TYPE = { none: 0, mean: 1, cls: 2, last: 3, rank: 4 } as const;

/** What the eval callback is called with: `ask` true before, false after the tensor's computation. */
type EvalCallback = (tensor: TensorPointer, ask: boolean) => boolean;

/** Members of `llama_model_params` and `llama_context_params` that moescope sets; the rest keep their defaults. */
export interface ModelParams {
  /** See {@link PointerList}: `ggml_backend_dev_t`, NULL. */
  devices: Pointer | null;
  /** See {@link PointerList}: pairs of a regular expression and a buffer type, two NULLs. */
  tensor_buft_overrides: Pointer | null;
  /** -1: all. */
  n_gpu_layers: number;
  progress_callback: Pointer | null;
  progress_callback_user_data: Pointer | null;
}
interface ContextParams {
  n_ctx: number;
  n_batch: number;
  n_ubatch: number;
  n_seq_max: number;
  n_threads: number;
  n_threads_batch: number;
  pooling_type: number;
  flash_attn_type: number;
  type_k: number;
  type_v: number;
  embeddings: boolean;
  kv_unified: boolean;
  cb_eval: Pointer | null;
  abort_callback: Pointer | null;
  abort_callback_data: Pointer | null;
}

const modelParams = {
  devices: "void *",
  tensor_buft_overrides: "void *",
  n_gpu_layers: "int32_t",
  split_mode: "int32_t",
  load_mode: "int32_t",
  lazy_mode: "int32_t",
  main_gpu: "int32_t",
  tensor_split: "void *",
  progress_callback: "void *",
  progress_callback_user_data: "void *",
  kv_overrides: "void *",
  vocab_only: "bool",
  check_tensors: "bool",
  use_extra_bufts: "bool",
  no_host: "bool",
  no_alloc: "bool",
  load_mtp: "bool",
};

const contextParams = {
  n_ctx: "uint32_t",
  n_batch: "uint32_t",
  n_ubatch: "uint32_t",
  n_seq_max: "uint32_t",
  n_rs_seq: "uint32_t",
  n_outputs_max: "uint32_t",
  n_outputs_max_per_seq: "uint32_t",
  n_threads: "int32_t",
  n_threads_batch: "int32_t",
  ctx_type: "int32_t",
  rope_scaling_type: "int32_t",
  pooling_type: "int32_t",
  attention_type: "int32_t",
  flash_attn_type: "int32_t",
  rope_freq_base: "float",
  rope_freq_scale: "float",
  yarn_ext_factor: "float",
  yarn_attn_factor: "float",
  yarn_beta_fast: "float",
  yarn_beta_slow: "float",
  yarn_orig_ctx: "uint32_t",
  defrag_thold: "float",
  cb_eval: "void *",
  cb_eval_user_data: "void *",
  type_k: "int32_t",
  type_v: "int32_t",
  abort_callback: "void *",
  abort_callback_data: "void *",
  embeddings: "bool",
  offload_kqv: "bool",
  no_perf: "bool",
  op_offload: "bool",
  swa_full: "bool",
  kv_unified: "bool",
  samplers: "void *",
  n_samplers: "size_t",
  ctx_other: "void *",
};

const batchFields = {
  n_tokens: "int32_t",
  token: "void *",
  embd: "void *",
  pos: "void *",
  n_seq_id: "void *",
  seq_id: "void *",
  logits: "void *",
};

/** A `llama_batch` whose arrays are ours; see `batch.ts`. */
export interface NativeBatch {
  n_tokens: number;
  token: Pointer;
  embd: null;
  pos: Pointer;
  n_seq_id: Pointer;
  seq_id: Pointer;
  logits: Pointer;
}

export type Llama = ReturnType<typeof bind>;

/**
 * The stack of a native call, in bytes: as much as koffi gives. The regular expressions that split text for most tokenizers
 * call themselves for every letter of a word, and a word may be long.
 */
const STACK_BYTES = 16 << 20;
try {
  koffi.config({ sync_stack_size: STACK_BYTES });
} catch {
  // This thread has used koffi before. No thread that runs a model has.
}

/** Load the shared libraries into this thread. Throws what koffi throws; `openLlama` says it better. */
export function bind(files: LibraryFiles) {
  const base = koffi.load(files.base, { global: true });
  const ggml = koffi.load(files.ggml, { global: true });
  const lib = koffi.load(files.llama, { global: true });
  const ModelParamsT = koffi.struct(modelParams);
  const ContextParamsT = koffi.struct(contextParams);
  const BatchT = koffi.struct(batchFields);
  const SamplerParamsT = koffi.struct({ no_perf: "bool" });
  const GgmlInitT = koffi.struct({ mem_size: "size_t", mem_buffer: "void *", no_alloc: "bool" });
  const EvalT = koffi.proto("bool", ["uint64_t", "bool", "void *"]);
  const LogT = koffi.proto("void", ["int", "const char *", "void *"]);

  return {
    ...bindDevices(base, ggml, lib),
    memory: new Memory(),
    registerEval: (callback: EvalCallback): Pointer => koffi.register(callback, koffi.pointer(EvalT)),
    registerLog: (callback: (level: number, text: string) => void): Pointer =>
      koffi.register(callback, koffi.pointer(LogT)),
    unregister: (callback: Pointer): void => koffi.unregister(callback),

    version: lib.func("llama_version", "const char *", []) as () => string,
    backendInit: lib.func("llama_backend_init", "void", []) as () => void,
    loadBackends: ggml.func("ggml_backend_load_all_from_path", "void", ["const char *"]) as (
      folder: string,
    ) => void,
    setLog: lib.func("llama_log_set", "void", ["void *", "void *"]) as (
      callback: Pointer,
      data: null,
    ) => void,
    /** A native function that may stand in for a log callback: takes any level, does nothing. */
    silentLog: base.symbol("ggml_type_name") as Pointer,

    modelDefaults: lib.func("llama_model_default_params", ModelParamsT, []) as () => ModelParams,
    loadModel: lib.func("llama_model_load_from_file", "void *", ["const char *", ModelParamsT]) as (
      path: string,
      params: ModelParams,
    ) => Pointer | null,
    freeModel: lib.func("llama_model_free", "void", ["void *"]) as (model: Pointer) => void,
    isRecurrent: lib.func("llama_model_is_recurrent", "bool", ["void *"]) as (model: Pointer) => boolean,
    isHybrid: lib.func("llama_model_is_hybrid", "bool", ["void *"]) as (model: Pointer) => boolean,
    isDiffusion: lib.func("llama_model_is_diffusion", "bool", ["void *"]) as (model: Pointer) => boolean,
    hasDecoder: lib.func("llama_model_has_decoder", "bool", ["void *"]) as (model: Pointer) => boolean,
    hasEncoder: lib.func("llama_model_has_encoder", "bool", ["void *"]) as (model: Pointer) => boolean,
    trainedContext: lib.func("llama_model_n_ctx_train", "int32_t", ["void *"]) as (model: Pointer) => number,

    contextDefaults: lib.func("llama_context_default_params", ContextParamsT, []) as () => ContextParams,
    newContext: lib.func("llama_init_from_model", "void *", ["void *", ContextParamsT]) as (
      model: Pointer,
      params: ContextParams,
    ) => Pointer | null,
    freeContext: lib.func("llama_free", "void", ["void *"]) as (context: Pointer) => void,
    contextSize: lib.func("llama_n_ctx", "uint32_t", ["void *"]) as (context: Pointer) => number,
    /**
     * Which of several heads for multi-token prediction to run, where a context is made for those. Graphs of other
     * contexts do not depend on it, but llama.cpp builds another when it has changed. `null` where it is not exported.
     */
    setNextHead: optional(() =>
      lib.func("_Z28llama_set_nextn_layer_offsetP13llama_contexti", "void", ["void *", "int32_t"]),
    ) as ((context: Pointer, head: number) => void) | null,
    setCausalAttention: lib.func("llama_set_causal_attn", "void", ["void *", "bool"]) as (
      context: Pointer,
      causal: boolean,
    ) => void,
    getMemory: lib.func("llama_get_memory", "void *", ["void *"]) as (context: Pointer) => Pointer,
    clearMemory: lib.func("llama_memory_clear", "void", ["void *", "bool"]) as (
      memory: Pointer,
      data: boolean,
    ) => void,
    removeSequence: lib.func("llama_memory_seq_rm", "bool", ["void *", "int32_t", "int32_t", "int32_t"]) as (
      memory: Pointer,
      sequence: number,
      from: number,
      to: number,
    ) => boolean,
    decode: lib.func("llama_decode", "int32_t", ["void *", BatchT]) as (
      context: Pointer,
      batch: NativeBatch,
    ) => number,
    encode: lib.func("llama_encode", "int32_t", ["void *", BatchT]) as (
      context: Pointer,
      batch: NativeBatch,
    ) => number,
    /** Of a sequence that was in the last step; `null` for others. */
    pooledEmbedding: lib.func("llama_get_embeddings_seq", "void *", ["void *", "int32_t"]) as (
      context: Pointer,
      sequence: number,
    ) => Pointer | null,
    /** Values of a pooled embedding, or of a token's. */
    embeddingSize: lib.func("llama_model_n_embd_out", "int32_t", ["void *"]) as (model: Pointer) => number,
    /** Values of a classifier's output. */
    classes: lib.func("llama_model_n_cls_out", "uint32_t", ["void *"]) as (model: Pointer) => number,
    logitsOf: lib.func("llama_get_logits_ith", "void *", ["void *", "int32_t"]) as (
      context: Pointer,
      index: number,
    ) => Pointer | null,

    vocab: lib.func("llama_model_get_vocab", "void *", ["void *"]) as (model: Pointer) => Pointer,
    vocabSize: lib.func("llama_vocab_n_tokens", "int32_t", ["void *"]) as (vocab: Pointer) => number,
    vocabType: lib.func("llama_vocab_type", "int32_t", ["void *"]) as (vocab: Pointer) => number,
    isEndOfGeneration: lib.func("llama_vocab_is_eog", "bool", ["void *", "int32_t"]) as (
      vocab: Pointer,
      token: number,
    ) => boolean,
    bos: lib.func("llama_vocab_bos", "int32_t", ["void *"]) as (vocab: Pointer) => number,
    eos: lib.func("llama_vocab_eos", "int32_t", ["void *"]) as (vocab: Pointer) => number,
    sep: lib.func("llama_vocab_sep", "int32_t", ["void *"]) as (vocab: Pointer) => number,
    addsBos: lib.func("llama_vocab_get_add_bos", "bool", ["void *"]) as (vocab: Pointer) => boolean,
    addsEos: lib.func("llama_vocab_get_add_eos", "bool", ["void *"]) as (vocab: Pointer) => boolean,
    tokenize: lib.func("llama_tokenize", "int32_t", [
      "void *",
      "const void *",
      "int32_t",
      "void *",
      "int32_t",
      "bool",
      "bool",
    ]) as (
      vocab: Pointer,
      text: Uint8Array,
      bytes: number,
      out: Int32Array,
      capacity: number,
      addSpecial: boolean,
      parseSpecial: boolean,
    ) => number,
    tokenToPiece: lib.func("llama_token_to_piece", "int32_t", [
      "void *",
      "int32_t",
      "void *",
      "int32_t",
      "int32_t",
      "bool",
    ]) as (
      vocab: Pointer,
      token: number,
      out: Uint8Array,
      capacity: number,
      strip: number,
      special: boolean,
    ) => number,

    samplerChain: lib.func("llama_sampler_chain_init", "void *", [SamplerParamsT]) as (params: {
      no_perf: boolean;
    }) => Pointer,
    addSampler: lib.func("llama_sampler_chain_add", "void", ["void *", "void *"]) as (
      chain: Pointer,
      sampler: Pointer,
    ) => void,
    greedySampler: lib.func("llama_sampler_init_greedy", "void *", []) as () => Pointer,
    topKSampler: lib.func("llama_sampler_init_top_k", "void *", ["int32_t"]) as (k: number) => Pointer,
    topPSampler: lib.func("llama_sampler_init_top_p", "void *", ["float", "size_t"]) as (
      p: number,
      keep: number,
    ) => Pointer,
    minPSampler: lib.func("llama_sampler_init_min_p", "void *", ["float", "size_t"]) as (
      p: number,
      keep: number,
    ) => Pointer,
    temperatureSampler: lib.func("llama_sampler_init_temp", "void *", ["float"]) as (t: number) => Pointer,
    distributionSampler: lib.func("llama_sampler_init_dist", "void *", ["uint32_t"]) as (
      seed: number,
    ) => Pointer,
    sample: lib.func("llama_sampler_sample", "int32_t", ["void *", "void *", "int32_t"]) as (
      chain: Pointer,
      context: Pointer,
      index: number,
    ) => number,
    freeSampler: lib.func("llama_sampler_free", "void", ["void *"]) as (chain: Pointer) => void,

    tensorBytes: base.func("ggml_nbytes", "size_t", ["uint64_t"]) as (tensor: TensorPointer) => number,
    readTensor: base.func("ggml_backend_tensor_get", "void", ["uint64_t", "void *", "size_t", "size_t"]) as (
      tensor: TensorPointer,
      into: Uint8Array,
      offset: number,
      bytes: number,
    ) => void,
    typeName: base.func("ggml_type_name", "const char *", ["int"]) as (type: number) => string,
    opName: base.func("ggml_op_name", "const char *", ["int"]) as (op: number) => string,
    /** Which of the unary or gated operations one is, by its first parameter. */
    unaryOpName: base.func("ggml_unary_op_name", "const char *", ["int"]) as (op: number) => string,
    gatedOpName: base.func("ggml_glu_op_name", "const char *", ["int"]) as (op: number) => string,
    isEmpty: base.func("ggml_is_empty", "bool", ["void *"]) as (tensor: Pointer) => boolean,
    isEmptyAddress: base.symbol("ggml_is_empty") as Pointer,
    isScalar: base.func("ggml_is_scalar", "bool", ["void *"]) as (tensor: Pointer) => boolean,
    /**
     * Stands in for a progress callback, `bool (float, void *)`, which ends a load by returning false. On x64 and
     * arm64 a float and a pointer are each the first of their registers; Windows counts them together, hence `null`.
     */
    isScalarAddress: process.platform === "win32" ? null : (base.symbol("ggml_is_scalar") as Pointer),
    setEvalCallback: base.func("ggml_backend_sched_set_eval_callback", "void", [
      "void *",
      "void *",
      "void *",
    ]) as (scheduler: Pointer, callback: Pointer | null, data: null) => void,
    /** `llama_context::get_sched() const`; `null` where the build does not export it (Windows). */
    scheduler: optional(() => lib.func("_ZNK13llama_context9get_schedEv", "void *", ["void *"])) as
      | ((context: Pointer) => Pointer)
      | null,
    ggmlInit: base.func("ggml_init", "void *", [GgmlInitT]) as (params: {
      mem_size: number;
      mem_buffer: null;
      no_alloc: boolean;
    }) => Pointer,
    ggmlFree: base.func("ggml_free", "void", ["void *"]) as (context: Pointer) => void,
    newTensor2d: base.func("ggml_new_tensor_2d", "uint64_t", ["void *", "int", "int64_t", "int64_t"]) as (
      context: Pointer,
      type: number,
      ne0: number,
      ne1: number,
    ) => TensorPointer,
    view1d: base.func("ggml_view_1d", "uint64_t", ["void *", "uint64_t", "int64_t", "size_t"]) as (
      context: Pointer,
      tensor: TensorPointer,
      ne0: number,
      offset: number,
    ) => TensorPointer,
    setName: base.func("ggml_set_name", "uint64_t", ["uint64_t", "const char *"]) as (
      tensor: TensorPointer,
      name: string,
    ) => TensorPointer,
  };
}

function optional<T>(open: () => T): T | null {
  try {
    return open();
  } catch {
    return null;
  }
}
