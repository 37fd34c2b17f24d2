import { describe, expect, test } from "vitest";
import type { Gating } from "../../src/core/gating.ts";
import { route } from "../../src/gating/route.ts";
import { rowGate } from "../../src/gating/row-gate.ts";
import { error, flat, float32, reference } from "../analysis/reference.ts";
import { SOFTMAX } from "../analysis/synthetic.ts";

describe("route", () => {
  test.each(reference.route)("$name", ({ gating, topK, logits, bias, ids, weights }) => {
    const routing = route(float32(logits), gating, topK, bias);
    expect(routing.ids.dims).toEqual([logits.length, topK]);
    expect(Array.from(routing.ids.data)).toEqual(flat(ids));
    expect(error(routing.weights.data, flat(weights))).toBeLessThan(1e-6);
  });

  test.each(reference.route)("gate of $name", ({ gating, logits, bias, ids, gateEntropy, gateMargin }) => {
    const gate = rowGate(float32(logits), gating, flat(ids), bias);
    expect(error(gate.entropy, gateEntropy)).toBeLessThan(1e-5);
    // Scores are single-precision numbers.
    const size = Math.max(1, ...gateMargin.filter(Number.isFinite).map(Math.abs));
    gate.margin!.forEach((margin, row) => {
      if (Number.isFinite(gateMargin[row]))
        expect(Math.abs(margin - gateMargin[row]!) / size).toBeLessThan(1e-6);
    });
    if (gating.selectionBias) expect(rowGate(float32(logits), gating, flat(ids)).margin).toBeNull();
  });

  const logits = float32([[1, 2, 3, 4]]);
  test("equal scores go to the lower expert", () => {
    expect([...route(float32([[1, 1, 1, 1]]), SOFTMAX, 2).ids.data]).toEqual([0, 1]);
  });

  test("a scale of 0 stands for none, as in GGUF files without the key", () => {
    expect(route(logits, { ...SOFTMAX, scale: 0 }, 2)).toEqual(route(logits, SOFTMAX, 2));
  });

  test.each<[string, Gating | null, number, number[] | null]>([
    ["a rule that is not known", null, 2, null],
    ["experts that are looked up by token", { ...SOFTMAX, chosenBy: "token_id" }, 2, null],
    ["more experts than there are", SOFTMAX, 5, null],
    ["a missing selection bias", { ...SOFTMAX, selectionBias: true }, 2, null],
    ["a bias that the rule has not", SOFTMAX, 2, [1, 2, 3, 4]],
    ["a bias of another length", { ...SOFTMAX, selectionBias: true }, 2, [1, 2, 3]],
    ["groups of unequal size", { ...SOFTMAX, groups: { count: 3, used: 1, best: 2 } }, 1, null],
    ["groups too small for top-k", { ...SOFTMAX, groups: { count: 2, used: 1, best: 2 } }, 3, null],
  ])("refuses %s", (_, gating, topK, bias) => {
    expect(() => route(logits, gating, topK, bias)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });
});
