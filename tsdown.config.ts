import { defineConfig } from "tsdown";

export default defineConfig({
  // Workers and the relay are entries of their own: they are started by path, never imported.
  entry: {
    index: "src/index.ts",
    "cli/main": "src/cli/main.ts",
    "analysis/worker": "src/analysis/scan/worker.ts",
    "engines/llama/worker": "src/engines/llama/host/worker.ts",
    "engines/llama/relay": "src/engines/llama/host/relay.ts",
    "run/template-process": "src/run/prompts/template-process.ts",
    "server/worker": "src/server/captures/worker.ts",
  },
  format: "esm",
  platform: "node",
  target: "node20",
  dts: { entry: "src/index.ts" },
  // The package is as readable as its source: maps would be a third of it, and nobody's.
  sourcemap: false,
  clean: true,
  fixedExtension: false,
});
