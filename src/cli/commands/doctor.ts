import { availableParallelism, freemem, totalmem } from "node:os";
import { join } from "node:path";
import { memoryLimit } from "../../core/memory-limit.ts";
import { packageRoot, packageVersion } from "../../core/package-root.ts";
import { safeText } from "../../core/safe-text.ts";
import type { GpuDiagnosis, LlamaDiagnosis } from "../../engines/llama/diagnosis.ts";
import type { Device } from "../../engines/llama/native/devices.ts";
import type { VllmDiagnosis } from "../../engines/vllm/install/python.ts";
import { bytes } from "../../views/numbers.ts";
import { bold, dim } from "../../views/terminal/parts/paint.ts";
import { padRight, wrap } from "../../views/terminal/parts/text.ts";
import type { Terminal } from "../../views/terminal/terminal.ts";
import type { CommandContext } from "../command.ts";

/** A real capture, from the bundled model. */
interface SelfTest {
  readonly ok: boolean;
  /** What was captured, or what went wrong. */
  readonly message: string;
  readonly milliseconds: number;
  /** GPUs that took part. */
  readonly devices: readonly string[];
}

/** Everything `moescope doctor` says, for programs as `--json`. */
export interface DoctorReport {
  readonly moescope: string;
  readonly node: string;
  readonly platform: string;
  /** Bytes; `limit`: what a container lets this process have, `null` where that is all. */
  readonly memory: { readonly free: number; readonly total: number; readonly limit: number | null };
  readonly threads: number;
  readonly llama: LlamaDiagnosis;
  readonly vllm: VllmDiagnosis;
  readonly capture: SelfTest;
}

const PROMPT = "import numpy as np";

/**
 * `moescope doctor`: what is installed, what works, what to do about the rest.
 *
 * @returns whether capturing works.
 */
export async function doctor(
  { json }: { readonly json?: boolean },
  context: CommandContext,
): Promise<boolean> {
  const report: DoctorReport = {
    moescope: packageVersion,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    memory: { free: freemem(), total: totalmem(), limit: memoryLimit() },
    threads: availableParallelism(),
    llama: await context.diagnose(),
    vllm: await context.diagnoseVllm(),
    capture: await selfTest(context),
  };
  const { output } = context;
  if (json) output.print(JSON.stringify(report));
  else output.print(doctorView(report, output.terminal));
  return report.capture.ok;
}

async function selfTest({ load, signal }: CommandContext): Promise<SelfTest> {
  const start = performance.now();
  const after = () => Math.round(performance.now() - start);
  try {
    const llm = await load(join(packageRoot, "models", "demo", "demo-moe.gguf"), { signal });
    try {
      const { devices } = llm;
      const tokens = (await llm.tokenize(PROMPT)).length;
      const { routerLogits, rows } = await llm.capture(PROMPT, { signal });
      const layers = llm.info.moe?.layers.length ?? 0;
      const sound =
        rows.length === tokens &&
        routerLogits.size === layers &&
        [...routerLogits.values()].every(({ data }) => data.every(Number.isFinite));
      const message = sound
        ? `${tokens} tokens × ${layers} layers × ${llm.info.moe?.experts} experts`
        : `the capture of ${tokens} tokens is not whole: ${rows.length} rows, ${routerLogits.size} of ${layers} layers`;
      return { ok: sound, message, milliseconds: after(), devices };
    } finally {
      await llm.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, message: (error as Error).message, milliseconds: after(), devices: [] };
  }
}

/** A fact, and what is to be done if it is none to be glad of. */
interface Line {
  readonly name: string;
  /** `ok`, something that is missing and need not be, something that is broken; a bare fact has no mark. */
  readonly mark: "ok" | "absent" | "broken" | null;
  readonly text: string;
}

const MARKS = { ok: "✓", absent: "–", broken: "✗" } as const;
const NAME_WIDTH = 12;

export function doctorView(report: DoctorReport, { width, depth }: Terminal): string[] {
  const { memory, threads, llama, capture } = report;
  const lines: Line[] = [
    { name: "node", mark: null, text: `${report.node} on ${report.platform}` },
    {
      name: "memory",
      mark: null,
      text: `${bytes(memory.total)}, ${bytes(memory.free)} free; ${memory.limit === null ? "" : `this container may use ${bytes(memory.limit)}; `}${threads} threads`,
    },
    llama.problem === null
      ? { name: "llama.cpp", mark: "ok", text: `${llama.version}, layouts checked, in ${llama.folder}` }
      : { name: "llama.cpp", mark: "broken", text: llama.problem },
    ...llama.devices.map((device): Line => ({ name: "", mark: "ok", text: deviceText(device) })),
    ...(llama.kernels === null
      ? []
      : [{ name: "", mark: "ok", text: `CPU kernels: ${llama.kernels}` } as const]),
    ...llama.gpus.flatMap(gpuLines),
    vllmLine(report.vllm),
    {
      name: "capture",
      mark: capture.ok ? "ok" : "broken",
      text: capture.ok
        ? `${capture.message} in ${capture.milliseconds} ms on ${capture.devices.join(", ") || "the CPU"}`
        : capture.message,
    },
  ];
  return [
    `${bold(depth, "moescope")} ${report.moescope}`,
    "",
    ...lines.flatMap(({ name, mark, text }) =>
      wrap(safeText(text), width - NAME_WIDTH - 4).map((part, i) => {
        const start =
          i === 0 ? `${padRight(name, NAME_WIDTH)}${mark ? MARKS[mark] : " "} ` : " ".repeat(NAME_WIDTH + 2);
        return `  ${start}${part}`;
      }),
    ),
    "",
    capture.ok
      ? dim(depth, "Capturing works. Next: moescope demo")
      : "Capturing does not work: see ✗ above for what to do.",
  ];
}

function vllmLine(vllm: VllmDiagnosis): Line {
  if (vllm === null)
    return { name: "vllm", mark: "absent", text: "not installed; to run models in it: moescope setup vllm" };
  if ("problem" in vllm) return { name: "vllm", mark: "broken", text: vllm.problem };
  const origin = vllm.origin === "MOESCOPE_PYTHON" ? " (MOESCOPE_PYTHON)" : "";
  const build = { cpu: "for CPUs", cuda: "for NVIDIA GPUs" }[vllm.build];
  return {
    name: "vllm",
    mark: "ok",
    text: `${vllm.vllm} ${build}, Python ${vllm.pythonVersion} in ${vllm.python}${origin}`,
  };
}

function deviceText({ name, description, memory }: Device): string {
  const size = memory.total > 0 ? `, ${bytes(memory.total)}, ${bytes(memory.free)} free` : "";
  return `${name}: ${description}${size}`;
}

function gpuLines({ kind, driver, install, installed, devices, problem }: GpuDiagnosis): Line[] {
  if (devices.length > 0)
    return devices.map((device, i) => ({ name: i === 0 ? kind : "", mark: "ok", text: deviceText(device) }));
  if (problem !== null) return [{ name: kind, mark: "broken", text: problem }];
  // Nothing to say of what does not exist here.
  if (installed || install === null) return [];
  return [
    {
      name: kind,
      mark: "absent",
      text:
        driver === null
          ? `not installed; with such a GPU: ${install}`
          : `${driver} is here, llama.cpp's backend for it is not: ${install}`,
    },
  ];
}
