import { expect, test } from "vitest";
import { type DoctorReport, doctorView } from "../../src/cli/commands/doctor.ts";
import { memoryLimit } from "../../src/core/memory-limit.ts";
import { llamaDoctor } from "../../src/engines/llama/doctor.ts";
import { driverProblem, PREBUILT_CUDA, runtimeProblem } from "../../src/engines/llama/native/cuda.ts";
import { vllmDoctor } from "../../src/engines/vllm/install/doctor.ts";
import type { VllmDiagnosis } from "../../src/engines/vllm/install/python.ts";
import { displayWidth } from "../../src/views/terminal/parts/text.ts";
import type { Terminal } from "../../src/views/terminal/terminal.ts";
import { FakeEngine } from "./fake-engine.ts";
import { HEALTHY, runCli } from "./run-cli.ts";

const GPU = { description: "A card", type: "gpu", memory: { free: 2e10, total: 2.4e10 } } as const;

test("doctor says what works, and ends with 0", async () => {
  const { code, stdout, stderr, engine } = await runCli(["doctor"], {
    diagnosis: {
      ...HEALTHY,
      gpus: [
        {
          kind: "cuda",
          driver: null,
          install: "npm install cuda-package",
          installed: false,
          devices: [],
          problem: null,
        },
        {
          kind: "vulkan",
          driver: null,
          install: null,
          installed: true,
          devices: [{ ...GPU, name: "Vulkan0" }],
          problem: null,
        },
        { kind: "metal", driver: null, install: null, installed: false, devices: [], problem: null },
      ],
    },
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("  llama.cpp   ✓ 0.5.0, layouts checked, in /opt/llama\n");
  expect(stdout).toContain("              ✓ CPU: A processor, 16 GB, 8 GB free\n");
  expect(stdout).toContain("              ✓ CPU kernels: ggml-cpu-haswell\n");
  expect(stdout).toContain("  cuda        – not installed; with such a GPU: npm install cuda-package\n");
  expect(stdout).toContain("  vulkan      ✓ Vulkan0: A card, 24 GB, 20 GB free\n");
  expect(stdout).not.toContain("metal");
  expect(stdout).toMatch(/ {2}capture {5}✓ 18 tokens × 4 layers × 16 experts in \d+ ms on the CPU\n/);
  expect(stdout).toMatch(/Capturing works\. Next: moescope demo\n$/);
  expect(engine.closed).toBe(1);
});

test("doctor names what is broken in lines of 80 columns, and ends with 1 when capturing does not work", async () => {
  const engine = new FakeEngine();
  engine.tokenize = async () => {
    throw new Error("the engine is on fire");
  };
  const problem = `gpu "cuda" is installed and finds no device (${"libcuda.so.1: cannot open ".repeat(5)}); is the driver installed?`;
  const { code, stdout } = await runCli(["doctor"], {
    engine,
    diagnosis: {
      ...HEALTHY,
      gpus: [
        {
          kind: "cuda",
          driver: "NVIDIA driver 580.1",
          install: "npm install x",
          installed: true,
          devices: [],
          problem,
        },
      ],
    },
  });
  expect(code).toBe(1);
  expect(stdout).toContain('  cuda        ✗ gpu "cuda" is installed and finds no device');
  expect(stdout).toContain("  capture     ✗ the engine is on fire\n");
  expect(stdout).toContain("see ✗ above for what to do");
  for (const line of stdout.split("\n")) expect(displayWidth(line)).toBeLessThanOrEqual(80);
});

const REPORT: DoctorReport = {
  moescope: "1.0.0",
  node: "v20.20.2",
  platform: "linux-x64",
  memory: { free: 2e10, total: 6.4e10, limit: null },
  threads: 8,
  engines: [
    { doctor: llamaDoctor, found: HEALTHY },
    { doctor: vllmDoctor, found: null },
  ],
  capture: { ok: true, message: "4 tokens", milliseconds: 5, devices: [] },
};
const TERMINAL = { width: 80, depth: "none" } as Terminal;
const viewOf = (report: Partial<DoctorReport>) => {
  const lines = doctorView({ ...REPORT, ...report }, TERMINAL);
  for (const line of lines) expect(displayWidth(line), line).toBeLessThanOrEqual(80);
  return lines.join("\n").replace(/\s+/g, " ");
};

test("doctor says what a container may use, where that is less than the machine has", () => {
  expect(viewOf({})).toContain("memory 64 GB, 20 GB free; 8 threads");
  expect(viewOf({ memory: { ...REPORT.memory, limit: 4e9 } })).toContain(
    "memory 64 GB, 20 GB free; this container may use 4 GB; 8 threads",
  );
  expect(memoryLimit(4e9, 6.4e10)).toBe(4e9);
  // No limit in cgroup v1, in v2, and a system that has no cgroups.
  for (const none of [2 ** 64, 6.4e10, 0]) expect(memoryLimit(none, 6.4e10)).toBeNull();
});

test("doctor says what to install when there is an NVIDIA driver and no CUDA backend", () => {
  const cuda = { kind: "cuda", driver: "NVIDIA driver 580.159.04", installed: false, devices: [] } as const;
  const gpus = [{ ...cuda, install: "npm install cuda-package", problem: null }];
  expect(viewOf({ engines: [{ doctor: llamaDoctor, found: { ...HEALTHY, gpus } }] })).toContain(
    "cuda – NVIDIA driver 580.159.04 is here, llama.cpp's backend for it is not: npm install cuda-package",
  );
});

test("doctor says why an installed CUDA backend cannot be used", () => {
  const problems = [
    driverProblem({ kernel: "580.159.04", library: false, cuda: null }),
    runtimeProblem(PREBUILT_CUDA.main, "/nowhere/libggml-cuda.so", () => false),
  ];
  const views = problems.map((problem) => {
    const cuda = {
      kind: "cuda",
      driver: null,
      install: null,
      installed: true,
      devices: [],
      problem,
    } as const;
    return viewOf({ engines: [{ doctor: llamaDoctor, found: { ...HEALTHY, gpus: [cuda] } }] });
  });
  expect(views[0]).toContain(
    "cuda ✗ NVIDIA's kernel driver 580.159.04 is loaded, but libcuda.so.1 is not found",
  );
  expect(views[1]).toContain("cuda ✗ libcudart.so.13 and libcublas.so.13 of CUDA 13 not found");
});

test("doctor says whether vLLM is there", async () => {
  const doctor = async (vllm: VllmDiagnosis) =>
    (await runCli(["doctor"], { vllm })).stdout.replace(/\n {14}\s*/g, " ");
  expect(await doctor(null)).toContain(
    "  vllm        – not installed; to run models in it: moescope setup vllm\n",
  );
  const environment = {
    python: "/env/bin/python",
    pythonVersion: "3.12.3",
    vllm: "0.32.0",
    torch: "2.13.0",
  } as const;
  expect(await doctor({ ...environment, origin: "MOESCOPE_PYTHON", build: "cuda" })).toContain(
    "  vllm        ✓ 0.32.0 for NVIDIA GPUs, Python 3.12.3 in /env/bin/python (MOESCOPE_PYTHON)\n",
  );
  expect(await doctor({ problem: "/x has no vLLM" })).toContain("  vllm        ✗ /x has no vLLM\n");
});

test("doctor --json says the same to programs", async () => {
  const { code, stdout } = await runCli(["doctor", "--json"], {
    diagnosis: { ...HEALTHY, version: null, problem: "reinstall it" },
  });
  // What counts is whether a capture works.
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    node: process.version,
    llama: { problem: "reinstall it" },
    capture: { ok: true, devices: [] },
  });
});

test("options say where a model lies", async () => {
  const { loads } = await runCli([
    ..."capture m.gguf hello --json --gpu vulkan --gpu-layers 3 --n-cpu-moe 2".split(" "),
    ..."--override-tensor ffn_(up|gate)=CPU --override-tensor a=b=CUDA0".split(" "),
  ]);
  expect(loads).toEqual([
    {
      reference: "m.gguf",
      gpu: "vulkan",
      gpuLayers: 3,
      cpuMoe: 2,
      overrideTensors: [
        { pattern: "ffn_(up|gate)", device: "CPU" },
        { pattern: "a=b", device: "CUDA0" },
      ],
    },
  ]);
  const off = await runCli([..."capture m.gguf hello --json --gpu off --cpu-moe".split(" ")]);
  expect(off.loads).toEqual([{ reference: "m.gguf", gpu: false, cpuMoe: true }]);
});

test("a wrong kind of GPU or placement is a usage error", async () => {
  for (const flags of ["--gpu opencl", "--override-tensor exps", "--gpu-layers -1"]) {
    const { code, stderr } = await runCli(["capture", "m.gguf", "hello", ...flags.split(" ")]);
    expect(code).toBe(2);
    expect(stderr).toContain(flags.split(" ")[0]);
  }
});
