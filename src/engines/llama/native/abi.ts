import { EngineError } from "../../../core/errors.ts";
import { makeAbort, raiseAbort } from "./abort.ts";
import { FLASH_ATTENTION, GGML_TYPE, type Llama } from "./bindings.ts";
import { graphOf, TENSOR_STEP } from "./device-bindings.ts";
import { type LibraryFiles, LLAMA_VERSION } from "./library.ts";
import { addressOf } from "./native-memory.ts";
import { TensorReader } from "./tensor-reader.ts";

/**
 * Compare what the library says of itself with what the bindings assume, without running a model.
 *
 * @throws EngineError `ENGINE_INCOMPATIBLE`.
 */
export function checkAbi(llama: Llama, files: LibraryFiles): void {
  const must = (ok: boolean, what: string) => {
    if (!ok)
      throw new EngineError(
        "ENGINE_INCOMPATIBLE",
        `llama.cpp in ${files.folder}: ${what}; moescope needs ${LLAMA_VERSION}. Reinstall moescope, or point ` +
          "MOESCOPE_LLAMA_DIR at a build of that version",
      );
  };
  const version = llama.version();
  must(`v${version.replace(/^v|-dev$/g, "")}` === LLAMA_VERSION, `it is version ${version}`);
  const context = llama.contextDefaults();
  must(
    context.n_ctx === 512 && context.n_batch === 2048 && context.n_ubatch === 512 && context.n_seq_max === 1,
    "llama_context_params has another layout",
  );
  must(
    context.flash_attn_type === FLASH_ATTENTION.auto &&
      context.type_k === GGML_TYPE.F16 &&
      !context.kv_unified,
    "llama_context_params has another layout",
  );
  checkTensorLayout(llama, must);
  const flag = makeAbort();
  const seen = [false, true].map((raised) => {
    raiseAbort(flag, raised);
    const address = addressOf(new Uint8Array(flag));
    return { empty: llama.isEmpty(address), scalar: llama.isScalar(address) };
  });
  must(!seen[0]!.empty && seen[1]!.empty, "ggml_is_empty reads another layout");
  must(seen[0]!.scalar && !seen[1]!.scalar, "ggml_is_scalar reads another layout");
}

function checkTensorLayout(llama: Llama, must: (ok: boolean, what: string) => void): void {
  // A graph takes most of it.
  const context = llama.ggmlInit({ mem_size: 512 * 1024, mem_buffer: null, no_alloc: false });
  try {
    const graph = llama.newGraph(context);
    const name = "moescope-layout-check-0123456789";
    const root = llama.setName(llama.newTensor2d(context, GGML_TYPE.I32, 3, 5), name);
    const view = llama.view1d(context, root, 2, 12);
    const t = new TensorReader(llama.memory);
    const [viewSource, viewOffset] = [t.viewSource(view), t.viewOffset(view)];
    must(
      t.type(root) === GGML_TYPE.I32 &&
        t.ne(root, 0) === 3 &&
        t.ne(root, 1) === 5 &&
        t.nb(root, 1) === 12 &&
        t.name(root) === name &&
        llama.opName(t.op(root)) === "NONE" &&
        llama.opName(t.op(view)) === "VIEW" &&
        viewSource === root &&
        viewOffset === 12 &&
        t.source(view) === root &&
        t.data(view) === t.data(root) + 12,
      "ggml_tensor has another layout",
    );
    llama.expandGraph(graph, view);
    for (const tensor of [root, view]) {
      const graph = graphOf(llama, llama.memory, tensor);
      must(
        graph?.nodes.length === 1 && graph.nodes[0] === view && graph.from === root,
        "ggml_object has another layout",
      );
    }
  } finally {
    llama.ggmlFree(context);
  }
  // As llama.cpp makes its graphs: the tensors' memory is elsewhere.
  const empty = llama.ggmlInit({ mem_size: 4 * TENSOR_STEP, mem_buffer: null, no_alloc: true });
  try {
    const [first, second] = [0, 1].map(() => llama.newTensor2d(empty, GGML_TYPE.F32, 1, 1));
    must(second! - first! === TENSOR_STEP, "ggml_object has another size");
  } finally {
    llama.ggmlFree(empty);
  }
}
