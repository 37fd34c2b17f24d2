import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findGpuLibraries, gpuPackage } from "../../src/engines/llama/native/gpu.ts";
import { cpuMoeOverrides } from "../../src/engines/llama/run/device-placement.ts";
import { load } from "../../src/run/load.ts";
import { ggufOf } from "../fixtures/families.ts";

const before = process.cwd();
let project: string;
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), "moescope-gpu-"));
  process.chdir(project);
});
afterEach(() => {
  process.chdir(before);
  rmSync(project, { recursive: true });
});

function install(name: string, version: string): string {
  const root = join(project, "node_modules", "@node-llama-cpp", name);
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(join(root, "dist", "index.js"), "");
  writeFileSync(join(root, "package.json"), JSON.stringify({ version, exports: "./dist/index.js" }));
  const bins = join(root, "bins", name);
  mkdirSync(bins, { recursive: true });
  writeFileSync(join(bins, "libggml-vulkan.so"), "no library");
  return bins;
}

describe.skipIf(gpuPackage("vulkan") !== "linux-x64-vulkan")("choosing a GPU package", () => {
  it("says what to install when a kind is asked for by name", () => {
    expect(() => findGpuLibraries("vulkan", {})).toThrow(
      expect.objectContaining({
        code: "ENGINE_UNAVAILABLE",
        message: expect.stringContaining("npm install @node-llama-cpp/linux-x64-vulkan@3.22.1"),
      }),
    );
    expect(() => findGpuLibraries("metal", {})).toThrow(
      expect.objectContaining({ code: "ENGINE_UNAVAILABLE" }),
    );
    expect(findGpuLibraries("auto", {})).toEqual([]);
    expect(findGpuLibraries(false, {})).toEqual([]);
  });

  it("takes an installed one, and only of the version that fits", () => {
    const bins = install("linux-x64-vulkan", "3.22.1");
    const found = [{ kind: "vulkan", files: [join(bins, "libggml-vulkan.so")] }];
    const real = findGpuLibraries("auto", {});
    expect(real).toEqual(
      found.map(({ kind, files }) => ({ kind, files: files.map((file) => realpathSync(file)) })),
    );
    install("linux-x64-vulkan", "3.18.0");
    expect(findGpuLibraries("auto", {})).toEqual([]);
    expect(() => findGpuLibraries("vulkan", {})).toThrow(
      expect.objectContaining({ code: "ENGINE_INCOMPATIBLE" }),
    );
  });

  it("an installed one that does not work: auto falls back to the CPU, by name it is an error", async () => {
    install("linux-x64-vulkan", "3.22.1");
    const small = { threads: 1, contextSize: 64 };
    const llm = await load(ggufOf("mixtral"), small);
    expect(llm.devices).toEqual([]);
    await llm.close();
    await expect(load(ggufOf("mixtral"), { ...small, gpu: "vulkan" })).rejects.toMatchObject({
      code: "ENGINE_UNAVAILABLE",
      message: expect.stringMatching(/finds no device .*libggml-vulkan\.so/),
    });
  });
});

it("cpuMoe names the tensors llama.cpp's own command line names", () => {
  const names = (cpuMoe: boolean | number) =>
    [
      "blk.0.ffn_up_exps.weight",
      "blk.1.ffn_gate_up_exps.weight",
      "blk.11.ffn_down_chexps.weight",
      "blk.0.ffn_up.weight",
    ].filter((name) => cpuMoeOverrides(cpuMoe).some(({ pattern }) => new RegExp(pattern).test(name)));
  expect(names(false)).toEqual([]);
  expect(names(1)).toEqual(["blk.0.ffn_up_exps.weight"]);
  expect(names(2)).toEqual(["blk.0.ffn_up_exps.weight", "blk.1.ffn_gate_up_exps.weight"]);
  expect(names(true)).toHaveLength(3);
});

it("bad options are refused before anything is loaded", async () => {
  for (const bad of [
    { gpu: "opencl" as "vulkan" },
    { gpuLayers: -1 },
    { cpuMoe: 99 },
    { overrideTensors: [{ pattern: "(", device: "CPU" }] },
  ])
    await expect(load(ggufOf("mixtral"), bad)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
});
