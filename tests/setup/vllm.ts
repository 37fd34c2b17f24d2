import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { interpreterOf, managedFolder } from "../../src/engines/vllm/install/python.ts";
import { isReady } from "../../src/engines/vllm/install/setup.ts";
import { withLock } from "../../src/sources/lock.ts";

/** A Python that has vLLM, or why there is none. */
export type VllmUnderTest = { readonly python: string } | { readonly missing: string };

declare module "vitest" {
  interface ProvidedContext {
    vllm: VllmUnderTest;
  }
}

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const VARIABLE = "MOESCOPE_TEST_VLLM";
/** In bytes: the environment takes 6.4 GB with PyTorch's ordinary build, of which 3 GB are downloaded. */
const SPACE = 12e9;
/** Downloads break; the command goes on where it was. */
const ATTEMPTS = 3;

/**
 * Gives the tests of real vLLM one for CPUs: what `moescope setup vllm --cpu` makes, in the folder where that command puts it,
 * so that every checkout finds it again. Where it is missing, the command is run (Linux on x64, 12 GB of disk).
 * MOESCOPE_TEST_VLLM=0 leaves these tests out, a path names an interpreter to use instead. When vLLM cannot be had they
 * are skipped and say so; with MOESCOPE_TEST_VLLM=1, and in CI, that is an error.
 */
export default async function setup(project: TestProject): Promise<void> {
  const vllm = await prepare(process.env[VARIABLE] ?? "");
  if ("missing" in vllm)
    console.warn(`\ntests: WITHOUT VLLM, ${vllm.missing}: the tests in tests/vllm/real are skipped\n`);
  project.provide("vllm", vllm);
}

async function prepare(wanted: string): Promise<VllmUnderTest> {
  if (wanted === "0") return { missing: `as ${VARIABLE} is 0` };
  if (wanted !== "" && wanted !== "1") {
    if (existsSync(wanted)) return { python: wanted };
    throw new Error(`${VARIABLE} names ${wanted}, which is not there`);
  }
  const vllm = await install();
  if ("missing" in vllm && (wanted === "1" || process.env.CI))
    throw new Error(`no vLLM to test with, ${vllm.missing}; ${VARIABLE}=0 leaves these tests out`);
  return vllm;
}

async function install(): Promise<VllmUnderTest> {
  if (`${process.platform}-${process.arch}` !== "linux-x64")
    return { missing: "whose build for CPUs is tested on Linux on x64" };
  const folder = managedFolder("cpu");
  const made = { python: interpreterOf(folder) };
  if (isReady(folder)) return made;
  await mkdir(dirname(folder), { recursive: true });
  const { bavail, bsize } = await statfs(dirname(folder));
  if (bavail * bsize < SPACE) return { missing: `which takes ${SPACE / 1e9} GB of disk to install` };
  try {
    // Another checkout's tests may be about to do the same.
    await withLock(
      `${folder}.lock`,
      undefined,
      () => {},
      () => installInto(folder),
    );
    return made;
  } catch (error) {
    return { missing: `which could not be installed: ${(error as Error).message}` };
  }
}

async function installInto(folder: string): Promise<void> {
  for (let attempt = 1; !isReady(folder); attempt++) {
    console.log(`tests: moescope setup vllm --cpu (once, 3 GB, into ${folder})`);
    const code = await runSetup();
    if (code !== 0 && attempt === ATTEMPTS)
      throw new Error(`the command ended with code ${code}, ${ATTEMPTS} times`);
  }
}

/** @returns its exit code. */
function runSetup(): Promise<number | null> {
  const args = [join(root, "dist", "cli", "main.js"), "setup", "vllm", "--cpu", "--yes"];
  return new Promise((resolve, reject) => {
    spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] })
      .on("error", reject)
      .on("close", resolve);
  });
}
