import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** A folder in which llama.cpp's Vulkan backend is installed, or why there is none. */
    vulkan: { readonly folder: string } | { readonly missing: string };
  }
}

const run = promisify(execFile);
const cache = join(dirname(fileURLToPath(import.meta.url)), "../../.cache/vulkan");
const PACKAGE = "@node-llama-cpp/linux-x64-vulkan";
const DRIVER = ["mesa-vulkan-drivers", "libvulkan1"];
/** Mesa's software Vulkan. */
const ICD = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";

/**
 * Gives the tests of GPU capture a GPU that every machine has: llama.cpp's Vulkan backend from npm (74 MB, into `.cache`,
 * once) on Mesa's software driver. Only with MOESCOPE_TEST_VULKAN=1: compiling the shaders takes the driver minutes.
 */
export default async function setup(project: TestProject): Promise<void> {
  if (!process.env.MOESCOPE_TEST_VULKAN) {
    project.provide("vulkan", { missing: "MOESCOPE_TEST_VULKAN is not set" });
    return;
  }
  try {
    if (`${process.platform}-${process.arch}` !== "linux-x64") throw new Error("they are for Linux on x64");
    await installDriver();
    await installBackend();
    project.provide("vulkan", { folder: cache });
  } catch (error) {
    throw new Error(`the Vulkan tests cannot run: ${(error as Error).message}`, { cause: error });
  }
}

async function installDriver(): Promise<void> {
  if (existsSync(ICD)) return;
  const command = `apt-get install ${DRIVER.join(" ")}`;
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get"))
    throw new Error(`there is no software Vulkan driver (${ICD}); on Debian and Ubuntu: sudo ${command}`);
  console.log(`tests: ${command} (once, Mesa's software Vulkan)`);
  const options = { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
  await run("apt-get", ["update", "-q"], options);
  await run("apt-get", ["install", "-qy", "--no-install-recommends", ...DRIVER], options);
}

async function installBackend(): Promise<void> {
  if (existsSync(join(cache, "node_modules", PACKAGE, "package.json"))) return;
  console.log(`tests: installing ${PACKAGE} into .cache/vulkan (once, 24 MB)`);
  mkdirSync(cache, { recursive: true });
  const { packageVersion } = await import("../../src/engines/llama/prebuilt.ts");
  const options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", cache];
  await run("npm", ["install", ...options, `${PACKAGE}@${packageVersion}`]);
}
