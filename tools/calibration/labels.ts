import { testLabels } from "../../src/analysis/statistics/randomization/label-test.ts";
import { leastLabelQ } from "../../src/analysis/statistics/randomization/least-q.ts";
import type { MatchedUnits } from "../../src/analysis/statistics/randomization/matched-units.ts";
import { correctedTogether } from "../../src/analysis/statistics/randomization/max-t.ts";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import { drawText, gauss, popularity, type Text, unitsOfTexts } from "./texts.ts";

/** Rows of a text of each label. */
export const LENGTHS: Readonly<Record<string, (label: number, random: () => number) => number>> = {
  equal: () => 40,
  "12 v 64": (label) => (label === 0 ? 12 : 64),
  "64 v 12": (label) => (label === 0 ? 64 : 12),
  lognormal: (_, random) => 3 + Math.round(20 * Math.exp(gauss(random))),
};

export interface LabelCondition {
  readonly lengths: string;
  /** Texts of each label. */
  readonly texts: readonly number[];
  /** Spread of topics between texts. */
  readonly topic: number;
}

export interface Level {
  /** Part of all single tests with p <= 0.05 where labels mean nothing. */
  readonly shares: number;
  /** Part of the data sets with p <= 0.05 for the layer. */
  readonly layer: number;
  /** Part of the data sets with any share at q <= 0.05. */
  readonly any: number;
  /** Whether the test says that it can decide. */
  readonly decides: boolean;
}

/** How often the test finds what is not there. */
export function levelOf(
  { lengths, texts, topic }: LabelCondition,
  runs: number,
  permutations: number,
  seed: number,
): Level {
  const random = seededRandom(seed);
  const routing = { experts: 16, topK: 2, topic, stick: 0.5 };
  const labels = texts.length;
  let [shares, tests, layer, any] = [0, 0, 0, 0];
  for (let run = 0; run < runs; run++) {
    const base = popularity(routing.experts, random);
    const made = texts.flatMap((n, label) =>
      Array.from(
        { length: n },
        (): Text => ({
          label,
          ids: drawText(base, LENGTHS[lengths]!(label, random), routing, random),
        }),
      ),
    );
    const { matched } = unitsOfTexts(made, labels, routing.experts, routing.topK);
    const found = testLabels(matched, labels, routing.experts, permutations, run);
    for (const p of found.shares.pValues) shares += +(p <= 0.05);
    tests += found.shares.pValues.length;
    layer += +(found.layer.pValues[0]! <= 0.05);
    any += +correctedTogether([found.shares])[0]!.some((q) => q <= 0.05);
  }
  return {
    shares: shares / tests,
    layer: layer / runs,
    any: any / runs,
    decides: leastLabelQ(texts, permutations) <= 0.05,
  };
}

export interface Planted {
  readonly layers: number;
  readonly experts: number;
  readonly topK: number;
  readonly labels: number;
  /** Texts a label. */
  readonly texts: number;
  readonly specialists: number;
  /** Part of its label's rows that a specialist serves; it serves no other's. */
  readonly share: number;
}

/** How many planted specialists are found, and what else is, among all layers, experts and labels. */
export function powerOf(of: Planted, permutations: number, seed: number): { found: number; false: number } {
  const random = seededRandom(seed);
  const label = Int32Array.from({ length: of.labels * of.texts }, (_, i) => i % of.labels);
  const rows = Float64Array.from(label, () => 20 + Math.floor(60 * random()));
  const specialistIn = (layer: number) =>
    Array.from({ length: of.specialists }, (_, i) => i).filter((i) => i % of.layers === layer);
  const tests = Array.from({ length: of.layers }, (_, layer) => {
    const shares = new Float64Array(of.experts).fill(of.topK / of.experts);
    const residuals = Float64Array.from({ length: label.length * of.experts }, (_, i) => {
      const n = rows[Math.floor(i / of.experts)]!;
      const share = of.topK / of.experts;
      // Four times the variance of independent rows: tokens of a text resemble each other.
      return 2 * Math.sqrt(n * share * (1 - share)) * gauss(random);
    });
    for (const specialist of specialistIn(layer)) {
      shares[specialist] = of.share / of.labels;
      label.forEach((own, unit) => {
        const used = own === specialist % of.labels ? of.share : 0;
        residuals[unit * of.experts + specialist] = rows[unit]! * (used - of.share / of.labels);
      });
    }
    const units: MatchedUnits = {
      label,
      rows,
      shares,
      residuals: (unit, from, to, out) =>
        out.set(residuals.subarray(unit * of.experts + from, unit * of.experts + to)),
    };
    return testLabels(units, of.labels, of.experts, permutations, seed).shares;
  });
  const q = correctedTogether(tests);
  let [found, wrong] = [0, 0];
  q.forEach((ofLayer, layer) => {
    const planted = new Set(specialistIn(layer).map((i) => (i % of.labels) * of.experts + i));
    ofLayer.forEach((value, i) => {
      if (value > 0.05) return;
      if (planted.has(i)) found++;
      else wrong++;
    });
  });
  return { found, false: wrong };
}
