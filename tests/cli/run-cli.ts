import { run } from "../../src/cli/commands/run.ts";
import { outputTo } from "../../src/cli/output.ts";
import type { LlamaDiagnosis } from "../../src/engines/llama/diagnosis.ts";
import type { VllmDiagnosis } from "../../src/engines/vllm/install/python.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { FakeEngine } from "./fake-engine.ts";

export interface CliOptions {
  readonly engine?: FakeEngine;
  /** By model reference; {@link engine} serves the others. */
  readonly engines?: Readonly<Record<string, FakeEngine>>;
  readonly env?: NodeJS.ProcessEnv;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly stdin?: string;
  readonly signal?: AbortSignal;
  readonly diagnosis?: LlamaDiagnosis;
  readonly vllm?: VllmDiagnosis;
}

/** A machine on which everything is as it should be, without a GPU. */
export const HEALTHY: LlamaDiagnosis = {
  folder: "/opt/llama",
  version: "0.5.0",
  problem: null,
  devices: [{ name: "CPU", description: "A processor", type: "cpu", memory: { free: 8e9, total: 16e9 } }],
  kernels: "ggml-cpu-haswell",
  gpus: [],
};

/** Run the command line in this process on a fake engine and collect what it writes. */
export async function runCli(
  args: readonly string[],
  {
    engine = new FakeEngine(),
    engines = {},
    env = {},
    isTTY = false,
    columns,
    stdin = "",
    signal,
    diagnosis = HEALTHY,
    vllm = null,
  }: CliOptions = {},
) {
  const collect = () => {
    const chunks: string[] = [];
    return { chunks, isTTY, columns, write: (text: string) => chunks.push(text) };
  };
  const stdout = collect();
  const stderr = collect();
  const loads: unknown[] = [];
  const code = await run(
    args,
    {
      output: outputTo(stdout, stderr, env),
      stdin: (async function* () {
        yield Buffer.from(stdin);
      })(),
      signal: signal ?? new AbortController().signal,
      load: async (reference, given) => {
        const { signal: _, onProgress: __, onStart: ___, ...options } = given as Record<string, unknown>;
        loads.push({ reference, ...options });
        return new LanguageModel(engines[reference] ?? engine);
      },
      inspectModel: async () => engine.model,
      diagnose: async () => diagnosis,
      diagnoseVllm: async () => vllm,
    },
    stdout,
    stderr,
    env,
  );
  return { code, stdout: stdout.chunks.join(""), stderr: stderr.chunks.join(""), loads, engine };
}
