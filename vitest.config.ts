import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "tests/**/*.test.ts"],
    globalSetup: [
      "tests/setup/python.ts",
      "tests/setup/gpu.ts",
      "tests/setup/chromium.ts",
      "tests/setup/vllm.ts",
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is polled comes, but late on a machine that is busy with other things.
    expect: { poll: { timeout: 50_000 } },
    // Each file loads its own llama.cpp; more at a time than there are cores only makes them wait.
    maxWorkers: 2,
    reporters: ["default"],
  },
});
