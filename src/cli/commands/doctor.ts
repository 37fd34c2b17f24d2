import { availableParallelism, freemem, totalmem } from "node:os";
import { join } from "node:path";
import { memoryLimit } from "../../core/memory-limit.ts";
import { packageRoot, packageVersion } from "../../core/package-root.ts";
import { safeText } from "../../core/safe-text.ts";
import type { DiagnosisLine, EngineDoctor } from "../../engines/entry.ts";
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

/** What was found of an engine, and who says it in words. */
export interface EngineFindings {
  readonly doctor: EngineDoctor;
  readonly found: unknown;
}

/** Everything `moescope doctor` says. */
export interface DoctorReport {
  readonly moescope: string;
  readonly node: string;
  readonly platform: string;
  /** Bytes; `limit`: what a container lets this process have, `null` where that is all. */
  readonly memory: { readonly free: number; readonly total: number; readonly limit: number | null };
  readonly threads: number;
  readonly engines: readonly EngineFindings[];
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
    engines: await findings(context),
    capture: await selfTest(context),
  };
  const { output } = context;
  if (json) output.print(JSON.stringify(forPrograms(report)));
  else output.print(doctorView(report, output.terminal));
  return report.capture.ok;
}

/** One engine after the other: what they load may be in each other's way. */
async function findings({ engines }: CommandContext): Promise<EngineFindings[]> {
  const found: EngineFindings[] = [];
  for (const { doctor } of engines) if (doctor) found.push({ doctor, found: await doctor.examine() });
  return found;
}

/** With what was found of each engine under its own key. */
function forPrograms({ engines, capture, ...machine }: DoctorReport): object {
  const byKey = engines.map(({ doctor, found }) => [doctor.key, found]);
  return { ...machine, ...Object.fromEntries(byKey), capture };
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

const MARKS = { ok: "✓", absent: "–", broken: "✗" } as const;
const NAME_WIDTH = 12;

export function doctorView(report: DoctorReport, { width, depth }: Terminal): string[] {
  const { memory, threads, engines, capture } = report;
  const lines: DiagnosisLine[] = [
    { name: "node", mark: null, text: `${report.node} on ${report.platform}` },
    {
      name: "memory",
      mark: null,
      text: `${bytes(memory.total)}, ${bytes(memory.free)} free; ${memory.limit === null ? "" : `this container may use ${bytes(memory.limit)}; `}${threads} threads`,
    },
    ...engines.flatMap(({ doctor, found }) => doctor.describe(found, { bytes })),
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
