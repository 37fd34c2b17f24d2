import { defineConfig } from "vitest/config";

const withVllm = "tests/vllm/real/**/*.test.ts";
const withGpu = "tests/engine/device-capture.test.ts";

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is polled comes, but late on a machine that is busy with other things.
    expect: { poll: { timeout: 50_000 } },
    reporters: ["default"],
    projects: [
      {
        extends: true,
        test: {
          name: "moescope",
          include: ["src/**/*.test.ts", "tests/**/*.test.ts"],
          exclude: [withVllm, withGpu],
          globalSetup: ["tests/setup/python.ts", "tests/setup/chromium.ts"],
          // Each file loads its own llama.cpp; more at a time than there are cores only makes them wait.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "gpu",
          include: [withGpu],
          globalSetup: ["tests/setup/gpu.ts"],
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "vllm",
          include: [withVllm],
          globalSetup: ["tests/setup/python.ts", "tests/setup/vllm.ts"],
          // After the others, one at a time: each starts vLLM, which takes gigabytes and all cores.
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
