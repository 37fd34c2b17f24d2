import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import type { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import { EDIT_CASES, editOf, editReference, firstEdited } from "../fixtures/edits.ts";
import {
  type Family,
  families,
  ggufOf,
  maxDifference,
  plainStreamsOf,
  Reference,
} from "../fixtures/families.ts";
import { openLogits } from "../fixtures/final-logits.ts";

const EXACT = { kvType: "f32", flashAttention: false, threads: 1, contextSize: 512 } as const;

/** What cannot be edited exactly, and the reason that is given. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  "qwen4_exp add": /it hands on a tensor of \[16, 2, 2\]/,
  "hy_v4 add": /it hands on a tensor of \[16, 2, 2\]/,
  "deepseek_v4 add": /it hands on a tensor of \[16, 4, 2\]/,
  "grove_moe force": /further experts of the layer are chosen apart/,
};

/** llama.cpp chooses groups otherwise than the reference. */
const COMPARED = ({ name, gating }: Family) => gating !== null && name !== "deepseek_v2_group";

describe.each(families.filter(COMPARED))("$name, edited, equals its reference", (family) => {
  const { tokens } = new Reference(family.name);
  const rows = tokens.length;
  const streams = plainStreamsOf(family.name);
  let llm: LanguageModel;
  let logits: Awaited<ReturnType<typeof openLogits>>;
  let plain: Capture;

  beforeAll(async () => {
    llm = await load(ggufOf(family.name), EXACT);
    plain = await llm.capture(tokens, { streams });
    logits = await openLogits(ggufOf(family.name));
  });
  afterAll(async () => {
    logits.close();
    await llm.close();
  });

  it.each(EDIT_CASES)("%s", async (name) => {
    const edit = editOf(family, name, llm.info.hiddenSize, rows);
    const capturing = llm.capture(tokens, { streams, edits: [edit] });
    const refusal = REFUSED[`${family.name} ${name}`];
    if (refusal) return expect(capturing).rejects.toThrow(refusal);
    const capture = await capturing;
    const expected = (part: string) => editReference(`${family.name}.${name}.${part}`)!.data;
    const { ids, weights } = bySortedExpert(capture);
    expect(ids).toEqual([...expected("ids")]);
    expect(maxDifference(weights, expected("weights"))).toBeLessThanOrEqual(family.tolerances.expert_weights);
    const ofLast = logits.of(tokens, edit);
    expect(maxDifference(ofLast, expected("logits"))).toBeLessThanOrEqual(family.tolerances.router_logits);
    if (streams.includes("hidden_states")) {
      const { data, dims } = capture.hiddenStates.get(family.layers - 1)!;
      const kept = expected("hidden");
      expect(maxDifference(data.slice(rows * dims[1]! - kept.length), kept)).toBeLessThanOrEqual(
        family.tolerances.hidden_states,
      );
    }
    const first = firstEdited(family);
    for (const stream of streams)
      for (const [layer, { data }] of capture.stream(stream)) {
        const width = data.length / rows;
        const before = plain.stream(stream).get(layer)!.data;
        expect(data.subarray(0, first * width)).toEqual(before.subarray(0, first * width));
      }
    // The edit does something; of Hy-V4's last rows none had chosen a banned expert.
    const changed = streams.some((stream) =>
      [...capture.stream(stream)].some(
        ([layer, { data }]) => maxDifference(data, plain.stream(stream).get(layer)!.data) > 1e-3,
      ),
    );
    expect(changed).toBe(`${family.name} ${name}` !== "hy_v4 ban");
    // The first router's logits are what it said, not what was made of them.
    if (name === "add") return;
    const [layer, { data }] = [...capture.routerLogits][0]!;
    expect(data).toEqual(plain.routerLogits.get(layer)!.data);
  });
});

/** As the reference has them: by layer and row, falling order of slots left out. */
function bySortedExpert(capture: Capture): { ids: number[]; weights: number[] } {
  const ids: number[] = [];
  const weights: number[] = [];
  for (const [layer, { data, dims }] of capture.expertIds) {
    const used = capture.expertWeights.get(layer)!.data;
    for (let row = 0; row < dims[0]!; row++) {
      const slots = Array.from({ length: dims[1]! }, (_, slot) => row * dims[1]! + slot);
      slots.sort((a, b) => data[a]! - data[b]!);
      for (const slot of slots) {
        ids.push(data[slot]!);
        weights.push(used[slot]!);
      }
    }
  }
  return { ids, weights };
}
