import type { Engine, Step } from "../../src/core/engine.ts";
import { EngineError } from "../../src/core/errors.ts";
import type { ModelInfo } from "../../src/core/model-info.ts";
import type { Plan } from "../../src/core/plan.ts";
import type { EngineRequest, EngineText } from "../../src/core/request.ts";
import { sieved } from "../../src/core/row-sieve.ts";
import type { StreamName } from "../../src/core/streams.ts";
import { streamSpec } from "../../src/core/streams.ts";
import { SOFTMAX } from "../analysis/synthetic.ts";

export interface Shape {
  readonly layers?: number;
  readonly dense?: number;
  readonly experts?: number;
  readonly topK?: number;
  readonly name?: string;
}

export function modelInfo({
  layers = 4,
  dense = 0,
  experts = 16,
  topK = 2,
  name = "fake-moe",
}: Shape = {}): ModelInfo {
  return {
    name,
    source: "fake.gguf",
    architecture: "qwen3moe",
    layers,
    hiddenSize: 8,
    vocabSize: 0x110000,
    contextLength: 512,
    parameters: 7_100_000,
    bytes: 14_200_000,
    quantization: "BF16",
    moe: {
      layers: Array.from({ length: layers - dense }, (_, i) => i + dense),
      experts,
      topK,
      sharedExperts: 0,
      gating: SOFTMAX,
    },
  };
}

/** A model with a token per character (its code point) whose routing depends on token and layer alone. */
export class FakeEngine implements Engine {
  readonly kind: string = "llama.cpp";
  readonly version = "fake";
  readonly contextSize = 4096;
  readonly chatTemplate: string =
    "{{ prefix }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
  readonly specialTokens = { bos: "", eos: "" };
  readonly model: ModelInfo;
  readonly #disturbed: (token: number, layer: number) => boolean;
  closed = 0;
  #open = true;

  /** @param disturbed which tokens a layer routes as it would the next one. */
  constructor(
    model: ModelInfo = modelInfo(),
    disturbed: (token: number, layer: number) => boolean = () => false,
  ) {
    this.model = model;
    this.#disturbed = disturbed;
  }

  /** For the next who loads it. */
  reopened(): this {
    this.#open = true;
    return this;
  }

  async tokenize(texts: readonly EngineText[]): Promise<Int32Array[]> {
    this.#assertOpen();
    return texts.map(({ text }) => Int32Array.from(text, (char) => char.codePointAt(0)!));
  }

  async detokenize(tokens: Int32Array): Promise<string> {
    return String.fromCodePoint(...tokens);
  }

  tokenText(tokenId: number): string {
    return String.fromCodePoint(tokenId);
  }

  run(
    requests: readonly EngineRequest[],
    plan: Plan,
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<Step> {
    return sieved(this.every(requests, plan, options), plan, requests);
  }

  /** Steps with every row. */
  protected async *every(
    requests: readonly EngineRequest[],
    plan: Plan,
    options: { signal?: AbortSignal },
  ): AsyncGenerator<Step> {
    for (const [sample, request] of requests.entries()) {
      await new Promise((resolve) => setImmediate(resolve));
      options.signal?.throwIfAborted();
      this.#assertOpen();
      // Continues with the alphabet.
      const drawn = Int32Array.from({ length: request.maxTokens }, (_, i) => 97 + (i % 26));
      const all = [...request.tokens, ...drawn.subarray(0, Math.max(0, drawn.length - 1))];
      const rows = [...all.keys()];
      const tokenId = Int32Array.from(rows, (row) => all[row]!);
      yield {
        batch: {
          rows: rows.length,
          sample: new Int32Array(rows.length).fill(sample),
          position: Int32Array.from(rows),
          tokenId,
          phase: Uint8Array.from(rows, (row) => (row < request.tokens.length ? 0 : 1)),
          streams: new Map(
            plan.streams.map(({ name, layers }) => [
              name,
              new Map(layers.map((layer) => [layer, this.#values(name, layer, tokenId)])),
            ]),
          ),
        },
        drawn: [],
        finished: [{ sample, tokens: drawn, text: await this.detokenize(drawn), reason: "length" }],
        processed: all.length,
      };
    }
  }

  async modelHash(): Promise<null> {
    return null;
  }

  async close(): Promise<void> {
    this.closed++;
    this.#open = false;
  }

  #assertOpen(): void {
    if (!this.#open) throw new EngineError("ENGINE_CLOSED", "the fake engine was closed");
  }

  #values(name: StreamName, layer: number, tokens: Int32Array) {
    const { experts, topK } = this.model.moe!;
    const sizes: Record<string, number> = { experts, top_k: topK, hidden: this.model.hiddenSize };
    const width = streamSpec(name).axes.reduce((product, axis) => product * sizes[axis]!, 1);
    const values = Array.from(tokens, (given) => {
      const token = this.#disturbed(given, layer) ? given + 1 : given;
      return Array.from({ length: width }, (_, i) => {
        // Squares bunch up on some experts, so the load is uneven; distinct within the top-k by the odd stride.
        if (name === "expert_ids") return (((token * token) % 11) + layer * 3 + i * 7) % experts;
        if (name === "expert_weights") return 1 / topK;
        return Math.sin(token * 7 + layer * 13 + i);
      });
    }).flat();
    return name === "expert_ids" ? Uint16Array.from(values) : Float32Array.from(values);
  }
}
