import {
  addSampleRows,
  matchedSamples,
  sampleUnits,
  startSampleCounts,
} from "../../src/analysis/measures/tallies/sample-counts.ts";
import type { LayerChunk } from "../../src/analysis/rows/layer-chunk.ts";
import type { RowColumns } from "../../src/analysis/rows/row-columns.ts";
import { matchedPositions } from "../../src/analysis/rows/row-groups.ts";

/** A text's label and the experts of its rows, `[rows, topK]`. */
export interface Text {
  readonly label: number;
  readonly ids: Uint16Array;
}

export const gauss = (random: () => number) =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Rows of simulated texts: `log` is the spread of the experts' popularity, `topic` that of a text's own preferences. */
export interface Routing {
  readonly experts: number;
  readonly topK: number;
  readonly topic: number;
  /** Chance that a row uses the experts of the one before. */
  readonly stick: number;
}

/** Popularity of experts, the same for all texts of a data set. */
export const popularity = (experts: number, random: () => number) =>
  Float64Array.from({ length: experts }, () => 0.7 * gauss(random));

/** The experts of a text that has a topic of its own and nothing to do with its label. */
export function drawText(base: Float64Array, rows: number, of: Routing, random: () => number): Uint16Array {
  const logits = base.map((value) => value + of.topic * gauss(random));
  const ids = new Uint16Array(rows * of.topK);
  for (let row = 0; row < rows; row++) {
    const at = row * of.topK;
    if (row > 0 && random() < of.stick) ids.copyWithin(at, at - of.topK, at);
    else {
      // Gumbel's trick: the largest of logits with noise are drawn without replacement.
      const noisy = Array.from(
        logits,
        (value, e) => [value - Math.log(-Math.log(random() || 1e-300)), e] as const,
      );
      noisy.sort((a, b) => b[0] - a[0]);
      for (let k = 0; k < of.topK; k++) ids[at + k] = noisy[k]![1];
    }
  }
  return ids;
}

/** Texts as the tests take them. */
export function unitsOfTexts(texts: readonly Text[], labels: number, experts: number, topK: number) {
  const lengths = texts.map(({ ids }) => ids.length / topK);
  const rows = lengths.reduce((sum, n) => sum + n, 0);
  const sample = new Int32Array(rows);
  const position = new Int32Array(rows);
  const ids = new Uint16Array(rows * topK);
  let at = 0;
  texts.forEach((text, i) => {
    ids.set(text.ids, at * topK);
    for (let p = 0; p < lengths[i]!; p++, at++) {
      sample[at] = i;
      position[at] = p;
    }
  });
  const labelOfSample = Int32Array.from(texts, ({ label }) => label);
  const columns = { sample, position, length: rows } as unknown as RowColumns;
  const positions = matchedPositions(columns, labelOfSample, labels);
  const state = startSampleCounts({ experts, topK }, positions);
  addSampleRows(state, { from: 0, sample, rows, ids, topK } as unknown as LayerChunk, positions);
  return { matched: matchedSamples(state, labelOfSample), units: sampleUnits(state, labelOfSample) };
}
