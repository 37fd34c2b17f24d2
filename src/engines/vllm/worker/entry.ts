import { abortSignal, argument } from "../../../core/options.ts";
import type { EngineEntry } from "../../entry.ts";
import { type Flag, sets } from "../../flag.ts";
import { CONTEXT, STEP_TIMEOUT, TASK_FLAGS } from "../../shared-flags.ts";
import { vllmDoctor } from "../install/doctor.ts";
import { vllmSetup } from "../install/entry-setup.ts";
import type { VllmOptions } from "../options.ts";
import { parseEngineArgument } from "./engine-argument.ts";

/** A model in a vLLM that is started for it. */
export interface VllmLoadOptions extends VllmOptions {
  readonly engine: "vllm";
  /** Stops the loading. */
  readonly signal?: AbortSignal;
}

const count = (name: string, help: string): Flag => ({
  name,
  placeholder: "<n>",
  type: { is: "whole", least: 1 },
  help: `vllm: ${help}`,
});

const ENGINE_ARG: Flag = {
  name: "engineArg",
  placeholder: "<name=value>",
  type: { is: "parsed", parse: parseEngineArgument },
  help: "vllm: any other argument, e.g. maxNumSeqs=64; may repeat",
  repeats: true,
};

/** vLLM in a process of our own: repositories of the Hub and folders in their format. */
export const vllmEntry: EngineEntry<VllmLoadOptions> = {
  name: "vllm",
  title: "vLLM",
  references: "with --engine vllm org/repo or a folder",

  accepts(reference) {
    if (/^https?:\/\//i.test(reference)) return null;
    const [, scheme, rest] = /^(hf|ollama|lmstudio):(.*)$/is.exec(reference) ?? [];
    if (scheme === undefined) return "possible";
    return {
      refused:
        scheme.toLowerCase() === "hf"
          ? `vLLM takes a repository without hf:, as ${rest}; hf: is for GGUF files in llama.cpp`
          : `${scheme}: names a GGUF file, which llama.cpp runs; leave out --engine vllm (engine: "vllm")`,
    };
  },

  async options() {
    const { readVllmOptions } = await import("../options.ts");
    return (given) => {
      const { engine, signal, ...others } = given as VllmLoadOptions;
      if (signal !== undefined) argument("load", "signal", signal, abortSignal);
      return { ...readVllmOptions(others), engine, ...(signal && { signal }) };
    };
  },

  flags: [
    ...TASK_FLAGS,
    sets(CONTEXT, (maxModelLen: number) => ({ maxModelLen })),
    sets(count("tensorParallelSize", "GPUs that share each layer"), (tensorParallelSize: number) => ({
      tensorParallelSize,
    })),
    sets(count("pipelineParallelSize", "GPUs that share the layers"), (pipelineParallelSize: number) => ({
      pipelineParallelSize,
    })),
    sets(count("dataParallelSize", "copies of the model"), (dataParallelSize: number) => ({
      dataParallelSize,
    })),
    sets(STEP_TIMEOUT, (seconds: number) => ({ stepTimeout: 1000 * seconds })),
    sets(ENGINE_ARG, (given: readonly ReturnType<typeof parseEngineArgument>[]) => Object.fromEntries(given)),
  ],

  async load(reference, { engine: _, signal, ...options }) {
    const { VllmEngine } = await import("./worker-engine.ts");
    return VllmEngine.load(reference, options, signal as AbortSignal | undefined);
  },

  loading: "Starting vLLM",
  watch: (tell) => ({ onStart: ({ text }) => tell({ text: `vLLM: ${text}` }) }),
  doctor: vllmDoctor,
  setup: vllmSetup,
};
