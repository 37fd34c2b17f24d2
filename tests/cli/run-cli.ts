import { run } from "../../src/cli/commands/run.ts";
import { outputTo } from "../../src/cli/output.ts";
import type { EngineEntry } from "../../src/engines/entry.ts";
import type { LlamaDiagnosis } from "../../src/engines/llama/diagnosis.ts";
import { llamaDoctor } from "../../src/engines/llama/doctor.ts";
import { llamaEntry } from "../../src/engines/llama/entry.ts";
import { vllmDoctor } from "../../src/engines/vllm/install/doctor.ts";
import type { VllmDiagnosis } from "../../src/engines/vllm/install/python.ts";
import { vllmServerEntry } from "../../src/engines/vllm/server/entry.ts";
import { vllmEntry } from "../../src/engines/vllm/worker/entry.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { loadWith } from "../../src/run/load.ts";
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
  /** Engines besides those there are. */
  readonly further?: readonly EngineEntry[];
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
    further = [],
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
      engines: [
        { ...llamaEntry, doctor: { ...llamaDoctor, examine: async () => diagnosis } },
        { ...vllmEntry, doctor: { ...vllmDoctor, examine: async () => vllm } },
        vllmServerEntry,
        ...further,
      ],
      load: async (reference, given) => {
        if (further.some((entry) => entry.accepts(reference) === "own"))
          return loadWith(further, reference, given);
        const { signal: _, onProgress: __, onStart: ___, ...options } = given as Record<string, unknown>;
        loads.push({ reference, ...options });
        return LanguageModel.of((engines[reference] ?? engine).reopened());
      },
      inspectModel: async () => engine.model,
    },
    stdout,
    stderr,
    env,
  );
  return { code, stdout: stdout.chunks.join(""), stderr: stderr.chunks.join(""), loads, engine };
}
