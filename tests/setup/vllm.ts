import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { VLLM_VERSION } from "../../src/engines/vllm/python.ts";

/** A Python that has vLLM, and whether the long checks run too; or why there is none. */
export type VllmUnderTest =
  | { readonly python: string; readonly full: boolean }
  | { readonly missing: string };

declare module "vitest" {
  interface ProvidedContext {
    vllm: VllmUnderTest;
  }
}

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const VARIABLE = "MOESCOPE_TEST_VLLM";
/** The tests that need it. */
const USERS = "tests/vllm/real/";
/** In bytes; with PyTorch's ordinary build the environment takes 9.5 GB. */
const SPACE = 15e9;

/**
 * Gives the tests a vLLM for CPUs when MOESCOPE_TEST_VLLM asks for one (it is 3 GB to download, and starts in minutes on
 * two cores): `1` makes `.cache/vllm` once by our own `moescope setup vllm --cpu`; `full` runs the long tests as well; a
 * path names an interpreter to use instead. Where vLLM cannot be installed they are skipped, and say so.
 */
export default async function setup(project: TestProject): Promise<void> {
  const vllm = await prepare(process.env[VARIABLE] ?? "");
  if ("missing" in vllm) console.log(`tests: without vLLM, ${vllm.missing}`);
  project.provide("vllm", vllm);
}

async function prepare(wanted: string): Promise<VllmUnderTest> {
  if (wanted === "") return { missing: `as ${VARIABLE} is not set` };
  if (!asked()) return { missing: "as only other tests were asked for" };
  const full = wanted === "full";
  if (wanted !== "1" && !full)
    return existsSync(wanted)
      ? { python: wanted, full }
      : { missing: `${VARIABLE} names ${wanted}, which is not there` };
  if (`${process.platform}-${process.arch}` !== "linux-x64")
    return { missing: "whose build for CPUs is tested on Linux on x64" };
  const folder = join(root, ".cache", "vllm", `${VLLM_VERSION}-cpu`);
  const python = join(folder, "bin", "python");
  // Written last by the command.
  if (existsSync(join(folder, "moescope.json"))) return { python, full };
  await mkdir(dirname(folder), { recursive: true });
  const { bavail, bsize } = await statfs(dirname(folder));
  if (bavail * bsize < SPACE) return { missing: `which takes ${SPACE / 1e9} GB of disk to install` };
  console.log(`tests: moescope setup vllm --cpu (once, some minutes, into ${folder})`);
  try {
    await installInto(folder);
    return { python, full };
  } catch (error) {
    return { missing: `which could not be installed: ${(error as Error).message}` };
  }
}

/** Gigabytes are not for who runs a few files of other tests. */
function asked(): boolean {
  const files = process.argv.slice(2).filter((argument) => /^(tests|src)\//.test(argument));
  return files.length === 0 || files.some((file) => USERS.startsWith(file) || file.startsWith(USERS));
}

function installInto(folder: string): Promise<void> {
  const main = join(root, "dist", "cli", "main.js");
  return new Promise((resolve, reject) => {
    const args = [main, "setup", "vllm", "--cpu", "--yes", "--dir", folder];
    spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] })
      .on("error", reject)
      .on("close", (code) =>
        code === 0 ? resolve() : reject(new Error(`the command ended with code ${code}`)),
      );
  });
}
