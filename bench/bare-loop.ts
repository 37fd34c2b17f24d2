import { CONTROL } from "../src/engines/llama/host/protocol.ts";
import { makeAbort } from "../src/engines/llama/native/abort.ts";
import { findGpuLibraries, type GpuChoice } from "../src/engines/llama/native/gpu.ts";
import { findLibrary } from "../src/engines/llama/native/library.ts";
import { NativeTokens } from "../src/engines/llama/run/native-tokens.ts";
import { Session } from "../src/engines/llama/run/session.ts";

/**
 * The least that generates: llama.cpp in this thread, one sequence, greedy, in a loop of decode and sample. What
 * moescope adds to that (a worker thread, batching, labels, messages) is measured against it.
 */
export class BareLoop {
  readonly #session: Session;
  readonly #tokens: NativeTokens;

  constructor(
    path: string,
    { threads, contextSize, gpu }: { threads: number; contextSize: number; gpu: GpuChoice },
  ) {
    this.#session = Session.open({
      files: findLibrary(),
      path,
      gpu,
      gpuLibraries: findGpuLibraries(gpu),
      placement: { gpuLayers: null, overrides: [] },
      shape: { architecture: "", layers: 0, width: 0, moeLayers: [] }, // only runs with rows ask for it
      purpose: {
        task: "generate",
        pooling: null,
        normalize: null,
        filePooling: null,
        fileCausal: null,
        classifier: false,
        encoder: false,
      },
      contextSize,
      parallel: 1,
      batchSize: 512,
      threads,
      kvType: "f16",
      flashAttention: "auto",
      strategy: "auto",
      control: new SharedArrayBuffer(CONTROL.bytes),
      abort: makeAbort(),
    });
    this.#tokens = new NativeTokens(512, 1);
  }

  generate(prompt: Int32Array, count: number): void {
    const { llama, context, memory, tap } = this.#session;
    const tokens = new Int32Array(prompt.length + count);
    tokens.set(prompt);
    const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop: [], ignoreEos: true };
    const request = { tokens: prompt, maxTokens: count, sampling };
    const running = { sample: 0, request, sequence: 0, tokens, length: prompt.length, fed: 0 };
    const chain = llama.samplerChain({ no_perf: true });
    llama.addSampler(chain, llama.greedySampler());
    for (let from = 0; running.length < tokens.length; ) {
      const fed = running.length - from;
      this.#tokens.fill([{ running, from, count: fed }], []);
      llama.decode(context, this.#tokens.batch);
      tap.settle(context);
      from = running.length;
      tokens[running.length++] = llama.sample(chain, context, fed - 1);
    }
    llama.freeSampler(chain);
    llama.clearMemory(memory, false);
  }

  close(): void {
    this.#session.close();
  }
}
