import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, inject, it } from "vitest";
import { packageRoot } from "../../../src/package-root.ts";

/** Each check starts vLLM once or more; the slowest loads eleven models. */
const LIMIT = 1_800_000;

const vllm = inject("vllm");
const folder = join(packageRoot, "python", "tests");

/** The architectures of fixtures/ that vLLM 0.32 still has: Arctic was removed after 0.28. */
const ARCHITECTURES = [
  ...["mixtral", "deepseek_v2", "qwen2_moe", "qwen3_moe", "qwen3_moe+compiled", "qwen3_vl_moe"],
  ...["dbrx", "ernie4_5_moe", "glm4_moe", "olmoe"],
];

/** The plugin's own checks against Hugging Face transformers, as their files describe them; what each says last. */
const CHECKS: readonly [command: string, last: RegExp][] = [
  [`check_architectures.py ${ARCHITECTURES.join(" ")}`, /^all 10 agree$/m],
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
