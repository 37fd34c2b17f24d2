import {
  addDifferences,
  besideEachOther,
  closeText,
  startDifferences,
} from "../../src/analysis/measures/tallies/text-differences.ts";
import type { LayerChunk } from "../../src/analysis/rows/layer-chunk.ts";
import { testGroupings } from "../../src/analysis/statistics/randomization/group-test.ts";
import { correctedTogether } from "../../src/analysis/statistics/randomization/max-t.ts";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import { gauss } from "./texts.ts";

/** Texts whose routing drifts: each expert's logit is a stationary walk with this correlation from token to token. */
export interface DriftCondition {
  readonly texts: number;
  readonly rows: number;
  readonly correlation: number;
}

/** How often a split of each text at random is found to matter: for the layer at p <= 0.05, for any share at q <= 0.05. */
export function driftLevelOf(
  { texts, rows, correlation }: DriftCondition,
  runs: number,
  flips: number,
  seed: number,
) {
  const random = seededRandom(seed);
  const [experts, topK] = [16, 2];
  let [layer, any] = [0, 0];
  for (let run = 0; run < runs; run++) {
    const base = Float64Array.from({ length: experts }, () => 0.7 * gauss(random));
    const ids: number[] = [];
    const sample: number[] = [];
    const group: number[] = [];
    for (let text = 0; text < texts; text++) {
      const walk = base.map(() => gauss(random));
      const split = Math.floor(rows * (0.3 + 0.4 * random()));
      for (let row = 0; row < rows; row++) {
        const noisy = Array.from(
          base,
          (value, e) => [value + 1.5 * walk[e]! - Math.log(-Math.log(random() || 1e-300)), e] as const,
        );
        noisy.sort((a, b) => b[0] - a[0]);
        for (let k = 0; k < topK; k++) ids.push(noisy[k]![1]);
        sample.push(text);
        group.push(+(row >= split));
        for (let e = 0; e < experts; e++)
          walk[e] = correlation * walk[e]! + Math.sqrt(1 - correlation ** 2) * gauss(random);
      }
    }
    const groups = { names: ["0", "1"], ofRow: Uint8Array.from(group) };
    const state = startDifferences(groups, experts, texts);
    const chunk = { from: 0, sample, rows: sample.length, ids, topK };
    addDifferences(state, groups, chunk as unknown as LayerChunk);
    closeText(state);
    const counts = new Float64Array(2 * experts);
    const sizes = new Float64Array(2);
    sample.forEach((_, row) => {
      sizes[group[row]!]!++;
      for (let k = 0; k < topK; k++) counts[group[row]! * experts + ids[row * topK + k]!]!++;
    });
    const grouping = { groups: 2, rows: sizes, counts, column: 0 };
    const [test] = testGroupings(besideEachOther([state], experts), [grouping], experts, flips, run);
    layer += +(test!.layer.pValues[0]! <= 0.05);
    any += +correctedTogether([test!.shares])[0]!.some((q) => q <= 0.05);
  }
  return { layer: layer / runs, any: any / runs };
}
