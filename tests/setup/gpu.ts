import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";

/** A folder in which llama.cpp's backend for a kind of GPU is installed, or why there is none. */
export type GpuUnderTest =
  | { readonly folder: string; readonly thorough: boolean }
  | { readonly missing: string };

declare module "vitest" {
  interface ProvidedContext {
    vulkan: GpuUnderTest;
    cuda: GpuUnderTest;
  }
}

const run = promisify(execFile);
const caches = join(dirname(fileURLToPath(import.meta.url)), "../../.cache");
const DRIVER = ["mesa-vulkan-drivers", "libvulkan1"];
/** Mesa's software Vulkan. */
const ICD = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";

/**
 * Gives the tests of GPU capture their GPUs: one that every machine has, llama.cpp's Vulkan backend from npm (74 MB,
 * into `.cache`, once) on Mesa's software driver, for a few tests of each kind where it can be had (all of them, or an
 * error, with MOESCOPE_TEST_VULKAN=1; none with 0); and an NVIDIA GPU with MOESCOPE_TEST_CUDA=1 (the package is 160 MB;
 * driver and CUDA are the machine's own).
 */
export default async function setup(project: TestProject): Promise<void> {
  project.provide("vulkan", await prepare("vulkan", "MOESCOPE_TEST_VULKAN", "some", installVulkanDriver));
  project.provide("cuda", await prepare("cuda", "MOESCOPE_TEST_CUDA", "0"));
}

async function prepare(
  kind: "vulkan" | "cuda",
  variable: string,
  unset: "some" | "0",
  prerequisites: () => Promise<void> = async () => {},
): Promise<GpuUnderTest> {
  const asked = process.env[variable] || unset;
  if (asked === "0") return { missing: `${variable} is ${process.env[variable] ? "0" : "not set"}` };
  try {
    if (`${process.platform}-${process.arch}` !== "linux-x64") throw new Error("they are for Linux on x64");
    await prerequisites();
    const folder = await installBackend(`@node-llama-cpp/linux-x64-${kind}`, join(caches, kind));
    return { folder, thorough: asked !== "some" };
  } catch (error) {
    const missing = `the ${kind} tests cannot run: ${(error as Error).message}`;
    if (asked !== "some") throw new Error(missing, { cause: error });
    console.log(`tests: ${missing}`);
    return { missing };
  }
}

async function installVulkanDriver(): Promise<void> {
  if (existsSync(ICD)) return;
  const command = `apt-get install ${DRIVER.join(" ")}`;
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get"))
    throw new Error(`there is no software Vulkan driver (${ICD}); on Debian and Ubuntu: sudo ${command}`);
  console.log(`tests: ${command} (once, Mesa's software Vulkan)`);
  const options = { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
  await run("apt-get", ["update", "-q"], options);
  await run("apt-get", ["install", "-qy", "--no-install-recommends", ...DRIVER], options);
}

async function installBackend(name: string, folder: string): Promise<string> {
  if (existsSync(join(folder, "node_modules", name, "package.json"))) return folder;
  console.log(`tests: installing ${name} into .cache (once)`);
  mkdirSync(folder, { recursive: true });
  const { packageVersion } = await import("../../src/engines/llama/native/prebuilt.ts");
  const options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder];
  await run("npm", ["install", ...options, `${name}@${packageVersion}`]);
  return folder;
}
