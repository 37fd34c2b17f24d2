import type { Engine, Step } from "../../src/core/engine.ts";
import { EngineError } from "../../src/core/errors.ts";
import type { ModelInfo } from "../../src/core/model-info.ts";
import type { Plan } from "../../src/core/plan.ts";
import type { EngineRequest } from "../../src/core/request.ts";
import { sieved } from "../../src/core/row-sieve.ts";
import type { RowBatch } from "../../src/core/rows.ts";
import { modelInfo } from "../analysis/synthetic.ts";

export const MODEL: ModelInfo = modelInfo(8, 2, [1, 3]);

/** Value `i` of a token in a layer; anything that tells tokens, layers and places apart. */
export const value = (tokenId: number, layer: number, i: number) =>
  Math.fround(Math.sin(tokenId * 13 + layer * 7 + i));

/**
 * An engine whose tensors are a formula: one token a byte, and "!" drawn after anything. Prompts go through whole, the
 * samples take turns, so that rows arrive in another order than a capture shows them.
 */
export function syntheticEngine(model: ModelInfo = MODEL): Engine {
  let open = true;
  const assertOpen = () => {
    if (!open) throw new EngineError("ENGINE_CLOSED", "the engine that is a formula was closed");
  };
  return {
    kind: "llama.cpp",
    version: "0",
    model,
    contextSize: 1024,
    chatTemplate: null,
    specialTokens: { bos: "", eos: "" },
    tokenize: async (texts) => {
      assertOpen();
      return texts.map(({ text }) => Int32Array.from(Buffer.from(text)));
    },
    detokenize: async (tokens) => Buffer.from(tokens).toString(),
    tokenText: (id) => String.fromCharCode(id),
    modelHash: async () => null,
    close: async () => {
      open = false;
    },
    run: (requests, plan, options = {}) => sieved(every(requests, plan, options), plan, requests),
  };

  /** Steps with every row. */
  async function* every(
    requests: readonly EngineRequest[],
    plan: Plan,
    { signal }: { signal?: AbortSignal },
  ): AsyncGenerator<Step> {
    const steps = Math.max(...requests.map(({ maxTokens }) => Math.max(1, maxTokens)));
    for (let step = 0; step < steps; step++)
      for (const sample of [...requests.keys()].reverse()) {
        signal?.throwIfAborted();
        assertOpen();
        const request = requests[sample]!;
        const last = step === Math.max(1, request.maxTokens) - 1;
        yield {
          batch: batchOf(request, sample, step, plan, model),
          drawn: request.maxTokens > 0 ? [{ sample, tokenId: 33 }] : [],
          finished: last ? [finished(request, sample)] : [],
          processed: step === 0 ? request.tokens.length : 1,
        };
      }
  }
}

function finished({ maxTokens }: EngineRequest, sample: number) {
  return {
    sample,
    tokens: new Int32Array(maxTokens).fill(33),
    text: "!".repeat(maxTokens),
    reason: "length" as const,
  };
}

function batchOf(
  request: EngineRequest,
  sample: number,
  step: number,
  { streams }: Plan,
  model: ModelInfo,
): RowBatch {
  const all = step === 0 ? request.tokens : Int32Array.of(33);
  const first = step === 0 ? 0 : request.tokens.length + step - 1;
  const rows = [...all.keys()];
  const tokenId = Int32Array.from(rows, (row) => all[row]!);
  return {
    rows: tokenId.length,
    sample: new Int32Array(tokenId.length).fill(sample),
    position: Int32Array.from(rows, (row) => first + row),
    tokenId,
    phase: new Uint8Array(tokenId.length).fill(step === 0 ? 0 : 1),
    streams: new Map(
      streams.map(({ name, layers }) => {
        const { experts, topK } = model.moe ?? { experts: 0, topK: 0 };
        const sizes = { router_logits: experts, expert_ids: topK, expert_weights: topK };
        const width = { ...sizes, hidden_states: model.hiddenSize }[name as string] ?? 0;
        const valuesOf = (layer: number) =>
          name === "expert_ids"
            ? Uint16Array.from({ length: tokenId.length * width }, (_, at) => at % experts)
            : Float32Array.from({ length: tokenId.length * width }, (_, at) =>
                value(tokenId[Math.floor(at / width)]!, layer, at % width),
              );
        return [name, new Map(layers.map((layer) => [layer, valuesOf(layer)]))];
      }),
    ),
  };
}
