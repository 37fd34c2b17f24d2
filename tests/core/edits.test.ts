import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { editWords } from "../../src/core/edit-words.ts";
import { type Edit, editField, editRecord } from "../../src/core/edits.ts";
import { RequestError } from "../../src/core/errors.ts";
import type { ModelInfo } from "../../src/core/model-info.ts";
import { editedModel, planEdits } from "../../src/core/plan-edits.ts";
import { covers } from "../../src/core/planned-edit.ts";

const HIDDEN = 4;
const model = {
  ...{ name: "M", architecture: "m", layers: 4, hiddenSize: HIDDEN },
  moe: { layers: [1, 2, 3], experts: 8, topK: 2, sharedExperts: 0, gating: null },
} as unknown as ModelInfo;
const everywhere = new Map([0, 1, 2, 3].map((layer) => [layer, null]));
const support = new Map(
  (["ban", "force", "bias", "add", "replay", "topK"] as const).map((kind) => [kind, everywhere]),
);
const planner = { model, engine: "test", support };
const sample = { sample: 0, tokens: new Int32Array(10), maxTokens: 0, where: "the prompt" };
const plan = (...edits: Edit[]) => planEdits(planner, edits, sample);

const select = fc.option(
  fc.oneof(
    fc.constantFrom({ phase: "prompt" as const }, { phase: "generated" as const }),
    fc.record({ positions: fc.uniqueArray(fc.nat(20), { minLength: 1 }) }),
    fc.record({ last: fc.integer({ min: 1, max: 20 }) }),
  ),
  { nil: undefined },
);
const expert = fc.nat(7);
const experts = fc.uniqueArray(expert, { minLength: 1, maxLength: 6 });
const place = { layers: fc.uniqueArray(fc.integer({ min: 1, max: 3 }), { minLength: 1 }), select };
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ ban: experts, ...place }),
  fc.record({ force: experts, ...place }),
  fc.record({
    bias: fc.dictionary(expert.map(String), fc.float({ noNaN: true, noDefaultInfinity: true }), {
      minKeys: 1,
    }),
    ...place,
  }),
  fc.record({
    add: fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), {
      minLength: HIDDEN,
      maxLength: HIDDEN,
    }),
    ...place,
  }),
  fc.record({ topK: fc.integer({ min: 1, max: 2 }), layers: place.layers }),
) as fc.Arbitrary<Edit>;

describe("reading edits", () => {
  it("what is read, recorded as JSON and read again is the same, and has words", () => {
    fc.assert(
      fc.property(edit, (given) => {
        const read = editField(given, "edits[0]");
        const record = JSON.parse(JSON.stringify(editRecord(read, () => null)));
        const again = editField(record, "edits[0]");
        expect(JSON.parse(JSON.stringify(editRecord(again, () => null)))).toEqual(record);
        expect(editWords(record)).toMatch(/^(bans|forces|adds|uses) /);
      }),
    );
  });

  it("an unknown field is refused, and the one that was meant is named", () => {
    for (const [wrong, message] of [
      [{ ban: [1], layer: [1] }, /no option "layer": did you mean layers/],
      [{ bann: [1] }, /did you mean ban/],
      [{ ban: [1], force: [2] }, /must say one thing.*ban and force/],
      [{ layers: [1] }, /must say one thing.*it says none/],
      [{ ban: [] }, /is empty/],
      [{ ban: [-1] }, /whole number from 0/],
      [{ ban: [1], select: { phases: "prompt" } }, /did you mean phase/],
      [{ bias: [1, 2] }, /numbers by expert/],
      [{ bias: { x: 1 } }, /"x" is no expert/],
      [{ bias: { 1: Number.NaN } }, /finite/],
      [{ add: [1, Number.POSITIVE_INFINITY], layers: [0] }, /finite/],
      [{ add: [1, 2] }, /needs the option layers/],
      [{ replay: 3 }, /a capture, or the path/],
      [{ topK: 0 }, /whole number from 1/],
      [null, /must be an object/],
    ] as const)
      expect(() => editField(wrong, "edits[0]")).toThrow(message);
  });

  it("anything else is an error of ours", () => {
    fc.assert(
      fc.property(fc.anything(), (given) => {
        try {
          editField(given, "edits[0]");
        } catch (error) {
          expect(error).toBeInstanceOf(RequestError);
        }
      }),
    );
  });
});

describe("planning edits", () => {
  it("is refused, or leaves each layer enough experts and nothing contradictory", () => {
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 4 }), (edits) => {
        let planned: ReturnType<typeof plan>;
        try {
          planned = plan(...edits);
        } catch (error) {
          expect(error).toBeInstanceOf(RequestError);
          return;
        }
        for (const layer of [1, 2, 3])
          for (const position of [0, 5, 9, 12]) {
            const here = planned.filter(
              (each) => each.layers.includes(layer) && covers(each, sample.tokens, position, 0),
            );
            const of = (kind: string) =>
              new Set(here.flatMap((each) => (each.kind === kind && "experts" in each ? each.experts : [])));
            expect(8 - of("ban").size).toBeGreaterThanOrEqual(2);
            expect(of("force").size).toBeLessThanOrEqual(2);
            expect([...of("force")].filter((expert) => of("ban").has(expert))).toEqual([]);
          }
      }),
    );
  });

  it("last counts the prompt's rows that meet the other conditions", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.option(fc.uniqueArray(fc.nat(14), { minLength: 1 })),
        (last, given) => {
          const [{ ...of }] = plan({ ban: [0], select: { last, ...(given && { positions: given }) } }) as [
            object,
          ];
          const kept = Array.from({ length: 15 }, (_, i) => i).filter((position) =>
            covers(of as never, sample.tokens, position, 0),
          );
          const eligible = (given ?? Array.from({ length: 10 }, (_, i) => i))
            .filter((p) => p < 10)
            .sort((a, b) => a - b);
          expect(kept).toEqual(eligible.slice(-last));
        },
      ),
    );
  });

  it("layers are all MoE layers, negative ones count from the last", () => {
    expect(plan({ ban: [0] })[0]!.layers).toEqual([1, 2, 3]);
    expect(plan({ ban: [0], layers: [-1, 1] })[0]!.layers).toEqual([1, 3]);
    expect(() => plan({ ban: [0], layers: [0] })).toThrow(/layer 0 is dense/);
    expect(() => plan({ ban: [8] })).toThrow(/no expert 8/);
  });

  it("an engine that cannot make one says so, with its reason", () => {
    const none = { ...planner, support: undefined };
    expect(() => planEdits(none, [{ ban: [0] }], sample)).toThrow(/test cannot make the edit ban/);
    const some = new Map([
      [
        "ban" as const,
        new Map([
          [1, null],
          [2, "its router is odd"],
        ]),
      ],
    ]);
    const of = (layers: number[]) => planEdits({ ...planner, support: some }, [{ ban: [0], layers }], sample);
    expect(of([1])).toHaveLength(1);
    expect(() => of([1, 2])).toThrow(/layer 2 .*its router is odd/);
    expect(() => of([3])).toThrow(/nothing of it is known/);
  });

  it("a model with fewer experts a token says so of those layers", () => {
    const edited = editedModel(model, plan({ topK: 1, layers: [2] }));
    expect(edited.moe!.byLayer!.map(({ topK }) => topK)).toEqual([2, 1, 2]);
    expect(editedModel(model, plan({ ban: [0] }))).toBe(model);
  });
});
