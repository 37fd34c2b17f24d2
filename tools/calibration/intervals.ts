import { allCounts, expertCounts } from "../../src/analysis/measures/tallies/expert-counts.ts";
import type { LayerChunk } from "../../src/analysis/rows/layer-chunk.ts";
import { shareInterval } from "../../src/analysis/statistics/cluster-interval.ts";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import { wilsonInterval } from "../../src/analysis/statistics/wilson.ts";
import { underusedExperts } from "../../src/analysis/underused-experts.ts";
import { drawText, popularity } from "./texts.ts";

export interface Coverage {
  /** Part of the 95 % intervals that hold the true share, a text as one observation; of those with rows as such. */
  readonly covered: number;
  readonly wilson: number;
  /** Part of the experts called significantly underused that are not. `null`: none was. */
  readonly wrongly: number | null;
}

/** Texts drawn whole from a corpus of some thousand, whose shares are known. */
export function coverageOf(texts: number, topic: number, runs: number, seed: number): Coverage {
  const random = seededRandom(seed);
  const routing = { experts: 16, topK: 2, topic, stick: 0.5 };
  const { experts, topK } = routing;
  const base = popularity(experts, random);
  const corpus = Array.from({ length: 3000 }, () =>
    drawText(base, 20 + Math.floor(80 * random()), routing, random),
  );
  const truth = new Float64Array(experts);
  let all = 0;
  for (const ids of corpus) {
    all += ids.length / topK;
    for (const id of ids) truth[id]!++;
  }
  const limit = (0.5 * topK) / experts;
  let [covered, wilson, tests, called, wrong] = [0, 0, 0, 0, 0];
  for (let run = 0; run < runs; run++) {
    const labels = { names: [null], ofSample: new Int32Array(texts) };
    const scope = { experts, topK, labels };
    const state = expertCounts.start(scope);
    for (let text = 0; text < texts; text++) {
      const ids = corpus[Math.floor(random() * corpus.length)]!;
      const rows = ids.length / topK;
      const chunk = { sample: new Int32Array(rows).fill(text), rows, ids, weights: null, topK };
      expertCounts.take(state, chunk as unknown as LayerChunk, scope);
    }
    const counts = allCounts(state, experts);
    for (let e = 0; e < experts; e++) {
      const share = truth[e]! / all;
      const inside = ([low, high]: readonly [number, number]) => +(low <= share && share <= high);
      covered += inside(shareInterval(counts.counts[e]!, counts.rows, counts.spread!, e, 0.95));
      wilson += inside(wilsonInterval(counts.counts[e]!, counts.rows, 0.95));
      tests++;
    }
    for (const { expert, significant } of underusedExperts(counts)) {
      if (!significant) continue;
      called++;
      wrong += +(truth[expert]! / all >= limit);
    }
  }
  return { covered: covered / tests, wilson: wilson / tests, wrongly: called === 0 ? null : wrong / called };
}
