import { coactivation } from "../../src/analysis/measures/coactivation.ts";
import type { LayerMeasure, LayerScope, ScanScope, Tally } from "../../src/analysis/measures/measure.ts";
import { tokenPreferences } from "../../src/analysis/measures/token-preferences.ts";
import type { LayerChunk } from "../../src/analysis/rows/layer-chunk.ts";
import type { RowColumns } from "../../src/analysis/rows/row-columns.ts";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import { drawText, gauss, popularity } from "./texts.ts";

/** Texts whose tokens have nothing to do with the experts that serve them, but for what is planted. */
export interface ListCondition {
  readonly layers: number;
  readonly experts: number;
  readonly topK: number;
  readonly texts: number;
  /** Rows of a text: fixed, or `lognormal` with a median of 23. */
  readonly rows: number | "lognormal";
  /** Spread of topics between texts, of experts and of tokens. */
  readonly topic: number;
  /** Chance that a row uses the experts of the one before. */
  readonly stick: number;
  /** Token types; how often each occurs follows Zipf's law. */
  readonly vocabulary: number;
  /** Layers in which expert 1 serves token type 5 in place of expert 0, and experts 2 and 3 serve the same rows. */
  readonly planted?: number;
}

export interface Listed {
  /** Part of the data sets that list any token, any pair of experts. */
  readonly tokens: number;
  readonly pairs: number;
  /** Part of what was planted that is listed. */
  readonly plantedTokens: number;
  readonly plantedPairs: number;
  /** What else is listed, a data set. */
  readonly otherTokens: number;
  readonly otherPairs: number;
}

const PLANTED_TYPE = 5;

/** How often the lists of preferred tokens and of pairs name what is not there, and what is. */
export function listsOf(of: ListCondition, runs: number, seed: number): Listed {
  const random = seededRandom(seed);
  const planted = of.planted ?? 0;
  const total = { tokens: 0, pairs: 0, plantedTokens: 0, plantedPairs: 0, otherTokens: 0, otherPairs: 0 };
  for (let run = 0; run < runs; run++) {
    const { columns, layers } = drawCapture(of, random);
    const tokens = results(tokenPreferences, columns, layers, of).map(({ experts }) =>
      experts.flatMap(({ expert, byLift }) => byLift.map(({ tokenId }) => ({ expert, tokenId }))),
    );
    const pairs = results(coactivation, columns, layers, of).map((found) =>
      found ? [...found.together, ...found.apart] : [],
    );
    const isToken = ({ expert, tokenId }: { expert: number; tokenId: number }) =>
      expert === 1 && tokenId === PLANTED_TYPE;
    const isPair = ({ a, b }: { a: number; b: number }) => a === 2 && b === 3;
    const listed = { tokens: tokens.flat().length, pairs: pairs.flat().length };
    const right = {
      tokens: tokens.slice(0, planted).flat().filter(isToken).length,
      pairs: pairs.slice(0, planted).flat().filter(isPair).length,
    };
    total.tokens += +(listed.tokens > 0) / runs;
    total.pairs += +(listed.pairs > 0) / runs;
    total.plantedTokens += right.tokens / Math.max(1, planted) / runs;
    total.plantedPairs += right.pairs / Math.max(1, planted) / runs;
    total.otherTokens += (listed.tokens - right.tokens) / runs;
    total.otherPairs += (listed.pairs - right.pairs) / runs;
  }
  return total;
}

function drawCapture(of: ListCondition, random: () => number) {
  const lengths = Array.from({ length: of.texts }, () =>
    of.rows === "lognormal" ? 3 + Math.round(20 * Math.exp(gauss(random))) : of.rows,
  );
  const length = lengths.reduce((sum, n) => sum + n, 0);
  const columns = {
    length,
    sample: Int32Array.from(lengths.flatMap((n, text) => new Array<number>(n).fill(text))),
    position: Int32Array.from(lengths.flatMap((n) => Array.from({ length: n }, (_, p) => p))),
    tokenId: Int32Array.from(lengths.flatMap((n) => drawTokens(n, of, random))),
    phase: new Uint8Array(length),
  } satisfies RowColumns;
  const layers = Array.from({ length: of.layers }, (_, layer) => {
    const base = popularity(of.experts, random);
    const ids = new Uint16Array(length * of.topK);
    let at = 0;
    for (const n of lengths) {
      ids.set(drawText(base, n, of, random), at * of.topK);
      at += n;
    }
    if (layer < (of.planted ?? 0)) plant(ids, of.topK, columns.tokenId);
    return ids;
  });
  return { columns, layers };
}

/** Types by Zipf's law, each text with some favourites of its own that come in runs. */
function drawTokens(rows: number, { vocabulary, topic }: ListCondition, random: () => number): number[] {
  const zipf = () => Math.floor(vocabulary ** random()) - 1;
  const favourites = [zipf(), zipf()];
  const tokens: number[] = [];
  for (let row = 0; row < rows; row++)
    tokens.push(
      row > 0 && random() < 0.2
        ? tokens[row - 1]!
        : random() < 0.3 * topic
          ? favourites[Math.floor(2 * random())]!
          : zipf(),
    );
  return tokens;
}

/** Type 5 is served by expert 1 instead of the first expert; where expert 2 is used, so is 3. */
function plant(ids: Uint16Array, topK: number, tokenId: Int32Array): void {
  for (let row = 0; row < tokenId.length; row++) {
    const own = ids.subarray(row * topK, (row + 1) * topK);
    if (tokenId[row] === PLANTED_TYPE && !own.includes(1)) own[0] = 1;
    const place = own.indexOf(2);
    if (place >= 0 && !own.includes(3)) own[(place + 1) % topK] = 3;
  }
}

/** A measure's results of all layers, as a scan makes them. */
function results<R, F, P, A>(
  measure: LayerMeasure<string, R, F, P, A>,
  columns: RowColumns,
  layers: readonly Uint16Array[],
  { experts, topK }: ListCondition,
): R[] {
  const scope = {
    experts,
    topK,
    model: { moe: { layers: [...layers.keys()] } },
    samples: Array.from({ length: columns.sample.at(-1)! + 1 }, () => ({ label: null })),
    tokenText: String,
  } as unknown as ScanScope;
  const tally = measure.keeps as Tally<unknown, A, F>;
  const ahead = tally.prepare?.(columns, scope) as A;
  const parts = layers.map((ids, layer) => {
    const of: LayerScope<A> = { ...scope, layer, ahead };
    const state = tally.start(of);
    const { sample, position, length } = columns;
    tally.take(
      state,
      { from: 0, sample, position, rows: length, ids, topK, weights: null } as unknown as LayerChunk,
      of,
    );
    return measure.layer(tally.find!(state, of, null as never), of);
  });
  return measure.across!(parts, scope);
}
