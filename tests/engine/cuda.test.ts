import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { kernelsAmong } from "../../src/engines/llama/diagnosis.ts";
import {
  cudaRefusal,
  driverProblem,
  kernelVersion,
  PREBUILT_CUDA,
  runtimeProblem,
} from "../../src/engines/llama/native/cuda.ts";

const { main, fallback } = PREBUILT_CUDA;

// Seen on an H200 with driver 580 (CUDA 13.0): the first kernel aborts the process, PTX of 13.1 being too new.
test("a build whose PTX is newer than the driver is refused on GPUs it has no machine code for", () => {
  expect(cudaRefusal(main, { version: 13000, devices: [90] })).toBe(
    "for GPUs of compute capability 9.0 this build needs a driver for CUDA 13.1 or newer, and the installed one is " +
      "for CUDA 13.0; update the driver",
  );
  for (const device of [75, 80, 100])
    expect(cudaRefusal(main, { version: 13000, devices: [86, device] })).not.toBeNull();
  for (const device of [86, 87, 89, 120, 121])
    expect(cudaRefusal(main, { version: 13000, devices: [device] })).toBeNull();
  expect(cudaRefusal(main, { version: 13010, devices: [75, 90, 100] })).toBeNull();
  expect(cudaRefusal(fallback, { version: 13000, devices: [70, 90] })).toBeNull();
});

test("a driver that is half there is told from none, and from one that works", () => {
  const cuda = { version: 13000, devices: [90] };
  expect(driverProblem({ kernel: null, library: true, cuda })).toBeNull();
  expect(driverProblem({ kernel: null, library: false, cuda: null })).toContain("no NVIDIA driver");
  expect(driverProblem({ kernel: "580.1", library: false, cuda: null })).toContain("--gpus all");
  expect(driverProblem({ kernel: "580.1", library: true, cuda: null })).toContain("kernel driver 580.1");
  expect(driverProblem({ kernel: "580.1", library: true, cuda: { ...cuda, devices: [] } })).toContain(
    "CUDA_VISIBLE_DEVICES",
  );
});

test("the kernel driver's version is read from both ways of writing it", () => {
  const built = "Release Build  (dvs-builder@U22)  Mon Sep  1\nGCC version:  gcc version 13.3.0\n";
  expect(kernelVersion(`NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  ${built}`)).toBe(
    "535.104.05",
  );
  expect(kernelVersion(`NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  ${built}`)).toBe(
    "580.159.04",
  );
  expect(kernelVersion("something else")).toBeNull();
});

test.skipIf(process.platform !== "linux")("a library of CUDA's runtime that is missing is named", () => {
  const folder = mkdtempSync(join(tmpdir(), "moescope-cuda-"));
  try {
    const file = join(folder, "libggml-cuda.so");
    expect(runtimeProblem(main, file, () => true)).toBeNull();
    expect(runtimeProblem(main, file, (name) => name !== "libcublas.so.13")).toMatch(
      /^libcublas\.so\.13 of CUDA 13 not found; install .*cuda-libraries-13-1/,
    );
    // A copy beside the backend is found by it.
    writeFileSync(join(folder, "libcublas.so.12"), "");
    expect(runtimeProblem(fallback, file, (name) => name !== "libcublas.so.12")).toBeNull();
    expect(runtimeProblem(fallback, file, () => false)).toMatch(/^libcudart\.so\.12 of CUDA 12 not found/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the CPU kernels are the one library of them that is loaded", () => {
  const others = ["/lib/libc.so.6", "/opt/ggml-cpu-tests/libllama.so", "/opt/libggml-base.so"];
  expect(kernelsAmong([...others, "/opt/libggml-cpu-icelake.so"])).toBe("ggml-cpu-icelake");
  expect(kernelsAmong([...others, "/opt/libggml-cpu.so"])).toBe("ggml-cpu");
  expect(kernelsAmong(others)).toBeNull();
});
