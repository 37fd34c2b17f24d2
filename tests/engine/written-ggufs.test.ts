import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import { load } from "../../src/run/load.ts";
import { ggufOf, maxDifference } from "../fixtures/families.ts";

const model = ggufOf("qwen3_moe");
const tokens = [[5, 6, 7, 8, 9, 10, 11, 12]];
const folder = mkdtempSync(join(tmpdir(), "moescope-ggufs-"));
let original: Capture;

async function capture(path: string): Promise<Capture> {
  const llm = await load(path, { threads: 1, contextSize: 256 });
  try {
    return await llm.capture(tokens, { streams: ["router_logits", "expert_ids", "hidden_states"] });
  } finally {
    await llm.close();
  }
}

const routerDifference = (a: Capture, b: Capture, layer: number) =>
  maxDifference(a.routerLogits.get(layer)!.data, b.routerLogits.get(layer)!.data);

beforeAll(async () => {
  execFileSync(inject("python"), [join(import.meta.dirname, "write_ggufs.py"), model, folder]);
  original = await capture(model);
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true }));

describe("a model that the gguf package wrote", () => {
  test.each([
    ["once more", "plain"],
    ["with tensors at multiples of 64 bytes", "aligned"],
    ["with keys nobody knows", "unknown"],
    ["without optional keys", "missing"],
  ])("%s gives the same bits", async (_, name) => {
    const again = await capture(join(folder, `${name}.gguf`));
    expect(again.model.moe).toEqual(original.model.moe);
    for (const layer of original.routerLogits.keys())
      expect(routerDifference(again, original, layer)).toBe(0);
  });

  test("in three parts gives the same bits, from any of them", async () => {
    const parts = readdirSync(folder).filter((name) => name.startsWith("split-"));
    expect(parts).toHaveLength(3);
    for (const part of parts) {
      const again = await capture(join(folder, part));
      for (const layer of original.routerLogits.keys())
        expect(routerDifference(again, original, layer)).toBe(0);
    }
  });

  /**
   * The first router sees no expert's output, the second that of one layer. Those after it may see another expert's,
   * where a near tie of the second falls the other way: llama.cpp rounds what it multiplies the weights with as well,
   * to 8 bits or to their type, hence the tolerance.
   */
  test.each(["F16", "BF16", "Q8_0", "Q5_1", "Q4_0", "MXFP4"])(
    "with experts in %s gives what their numbers in float32 give",
    async (type) => {
      const rounded = await capture(join(folder, `${type}.gguf`));
      const widened = await capture(join(folder, `${type}-as-F32.gguf`));
      expect(routerDifference(rounded, original, 0)).toBe(0);
      expect(routerDifference(rounded, original, 1)).toBeGreaterThan(0);
      expect(routerDifference(rounded, widened, 1)).toBeLessThan(0.05);
    },
  );

  test("with nested arrays, which llama.cpp does not read, is refused", async () => {
    await expect(capture(join(folder, "nested.gguf"))).rejects.toMatchObject({ code: "MODEL_INVALID" });
  });
});
