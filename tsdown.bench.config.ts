import { defineConfig } from "tsdown";

export default defineConfig({
  entry: ["bench/capture.ts", "bench/gate-check.ts"],
  outDir: ".cache/bench",
  format: "esm",
  platform: "node",
  target: "node20",
  dts: false,
  fixedExtension: false,
  logLevel: "error",
});
