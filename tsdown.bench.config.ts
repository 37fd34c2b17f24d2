import { defineConfig } from "tsdown";

export default defineConfig({
  entry: {
    capture: "bench/capture.ts",
    "gate-check": "bench/gate-check.ts",
    calibration: "tools/calibration/main.ts",
  },
  outDir: ".cache/bench",
  format: "esm",
  platform: "node",
  target: "node20",
  dts: false,
  fixedExtension: false,
  logLevel: "error",
});
