import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, inject, it } from "vitest";
import { packageRoot } from "../../../src/core/package-root.ts";

/** Each check starts vLLM once or more; the slowest loads a model of each family. */
const LIMIT = 3_600_000;

const vllm = inject("vllm");
const folder = join(packageRoot, "python", "tests");

/**
 * Families of each kind: the residual stream as a sum, as the first of two, in one tensor; gates inside and outside of
 * vLLM's layer; weights that are overwritten, zero experts, latent attention, images.
 */
const SOME = [
  ...["mixtral", "deepseek_v2", "qwen3_moe", "qwen3_moe+compiled", "qwen3_vl_moe", "dbrx", "llama4"],
  ...[
    "granitemoe",
    "granitemoe_hybrid",
    "phimoe",
    "cohere2_moe",
    "longcat_flash",
    "flex_olmo",
    "hunyuan_moe",
    "hunyuan_moe+compiled",
    "exaone4",
  ],
];

/** Which architectures to check: `npm run check:vllm` checks every one of vLLM 0.32 that there is a family for. */
const [architectures, all] = process.env.MOESCOPE_TEST_VLLM_ALL
  ? ["", /^all \d+ agree$/m]
  : [SOME.join(" "), new RegExp(`^all ${SOME.length} agree$`, "m")];

/** The plugin's own checks against Hugging Face transformers, as their files describe them; what each says last. */
const CHECKS: readonly [command: string, last: RegExp][] = [
  [`check_architectures.py ${architectures}`.trim(), all],
  ["check_split_experts.py", /^split experts: all good$/m],
  ["check_mutants.py", /^mutants: all caught$/m],
  ["check_layers.py", /^layers: all \d+ as written down$/m],
  ["check_pooling.py", /^pooling: all \d+ agree$/m],
  ["check_speculation.py ngram mtp", /^speculation: all 2 good$/m],
  ["check_batching.py", /^batching: all good$/m],
  ['check_batching.py {"tensor_parallel_size":2}', /^batching: all good$/m],
  ["check_quantized.py", /^quantized: all good$/m],
  ["check_images.py", /^qwen3_vl_moe with an image: .*router_logits/m],
  ["check_worker.py", /^worker: all good$/m],
  ["check_worker.py 2 1", /^worker: all good$/m],
  ["check_worker.py 1 2", /^worker: all good$/m],
  ["check_server.py --data-parallel-size 2", /^server: all good$/m],
];

describe.skipIf("missing" in vllm)("the plugin", () => {
  const { python } = { python: "", ...vllm };

  it("labels and delivers rows", { timeout: LIMIT }, async () => {
    const { stderr } = await run(python, ["-m", "unittest", "discover", "-s", folder]);
    expect(stderr).toMatch(/^OK$/m);
  });

  it.each(CHECKS)("%s", { timeout: LIMIT }, async (command, last) => {
    const [script, ...args] = command.split(" ") as [string, ...string[]];
    const { stdout } = await run(python, [join(folder, script), ...args]);
    console.log(stdout);
    expect(stdout).toMatch(last);
  });
});

function run(command: string, args: readonly string[]) {
  return promisify(execFile)(command, [...args], { maxBuffer: 1 << 28 }).catch((error) => {
    throw new Error(`${args.join(" ")} failed:\n${error.stdout}\n${error.stderr.slice(-5000)}`, {
      cause: error,
    });
  });
}
