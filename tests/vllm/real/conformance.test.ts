import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, inject } from "vitest";
import { load } from "../../../src/run/load.ts";
import { conformance } from "../../engines/conformance.ts";
import { demoCheckpoint } from "./checkpoints.ts";
import { type Serving, serve } from "./serve.ts";

/** vLLM itself, on the CPU. */
const START = 600_000;

const vllm = inject("vllm");
const python = "python" in vllm ? vllm.python : "";

let folder = "";
let checkpoint = "";

describe.skipIf("missing" in vllm)("the demo model", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "moescope-vllm-"));
    checkpoint = await demoCheckpoint(inject("python"), folder);
  }, START);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  conformance(
    "vLLM",
    () =>
      load(checkpoint, {
        ...{ engine: "vllm", python, dtype: "float32", enforceEager: true, maxNumSeqs: 16 },
        ...{ gpuMemoryUtilization: 0.08, maxModelLen: 512 },
      }),
    { slow: { timeout: START } },
  );

  describe("in vllm serve", () => {
    let server: Serving | undefined;
    afterAll(() => server?.kill());
    conformance(
      "vllm serve",
      async () => {
        server = await serve(python, checkpoint, ["--max-model-len", "512"]);
        return load(server.far);
      },
      { slow: { timeout: START } },
    );
  });
});
