import { expect, test } from "vitest";
import { cudaRefusal, PREBUILT_CUDA } from "../../src/engines/llama/cuda.ts";

const { main, fallback } = PREBUILT_CUDA;

// Seen on an H200 with driver 580 (CUDA 13.0): the first kernel aborts the process, PTX of 13.1 being too new.
test("a build whose PTX is newer than the driver is refused on GPUs it has no machine code for", () => {
  expect(cudaRefusal(main, { version: 13000, devices: [90] })).toBe(
    "for GPUs of compute capability 9.0 this build needs a driver for CUDA 13.1 or newer, and the installed one is " +
      "for CUDA 13.0",
  );
  for (const device of [75, 80, 100])
    expect(cudaRefusal(main, { version: 13000, devices: [86, device] })).not.toBeNull();
  for (const device of [86, 87, 89, 120, 121])
    expect(cudaRefusal(main, { version: 13000, devices: [device] })).toBeNull();
  expect(cudaRefusal(main, { version: 13010, devices: [75, 90, 100] })).toBeNull();
  expect(cudaRefusal(fallback, { version: 13000, devices: [70, 90] })).toBeNull();
  expect(cudaRefusal(main, null)).toContain("driver");
});
