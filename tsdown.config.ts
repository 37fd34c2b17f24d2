import { defineConfig } from "tsdown";

export default defineConfig({
  // The worker is an entry of its own: it is started by URL, never imported.
  entry: {
    index: "src/index.ts",
    "cli/main": "src/cli/main.ts",
    "engines/llama/worker": "src/engines/llama/worker.ts",
  },
  format: "esm",
  platform: "node",
  target: "node20",
  dts: { entry: "src/index.ts" },
  sourcemap: true,
  clean: true,
  fixedExtension: false,
});
