import { describe, expect, it } from "vitest";
import type { MoeInfo } from "../../src/engines/engine.ts";
import { load, selectionBias } from "../../src/load.ts";
import type { Gating } from "../../src/routing/gating.ts";
import { route } from "../../src/routing/route.ts";
import { families, ggufOf, maxDifference, Reference } from "../fixtures/families.ts";

describe.each(families.filter(({ gating }) => gating !== null))("$name", ({ name, gating: expected }) => {
  it("the gating rule read from the file gives the experts and weights llama.cpp used", async () => {
    const llm = await load(ggufOf(name), {
      kvType: "f32",
      flashAttention: false,
      threads: 1,
      contextSize: 512,
    });
    const capture = await llm.capture(new Reference(name).tokens);
    await llm.close();
    const { gating, topK } = capture.model.moe! as MoeInfo & { gating: Gating };
    expect(gating.selectionBias).toBe(expected!.selectionBias);
    expect(gating.scale).toBeCloseTo(expected!.scaling, 6);
    expect(gating.groups).toEqual(expected!.groups && expect.objectContaining(gating.groups!));
    const biases = await selectionBias(ggufOf(name));
    expect([...biases.keys()]).toEqual(gating.selectionBias ? [...capture.routerLogits.keys()] : []);
    for (const [layer, logits] of capture.routerLogits) {
      const { ids, weights } = route(logits, gating, topK, biases.get(layer));
      expect([...ids.data]).toEqual([...capture.expertIds.get(layer)!.data]);
      expect(maxDifference(weights.data, capture.expertWeights.get(layer)!.data)).toBeLessThan(1e-6);
    }
  });
});

it("a selection bias changes the choice: without it other experts come out", async () => {
  const llm = await load(ggufOf("deepseek_v3"), { kvType: "f32", flashAttention: false, threads: 1 });
  const capture = await llm.capture(new Reference("deepseek_v3").tokens);
  await llm.close();
  const { gating, topK } = capture.model.moe!;
  const unbiased: Gating = { ...gating!, selectionBias: false };
  const same = [...capture.routerLogits].every(([layer, logits]) => {
    const { ids } = route(logits, unbiased, topK);
    return ids.data.every((id, i) => id === capture.expertIds.get(layer)!.data[i]);
  });
  expect(same).toBe(false);
});
