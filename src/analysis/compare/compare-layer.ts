import type { ModelInfo } from "../../core/model-info.ts";
import { moeLayer } from "../../core/moe-layer.ts";
import { layerChunk } from "../rows/layer-chunk.ts";
import type { RowColumns } from "../rows/row-columns.ts";
import type { StreamReader } from "../rows/stream-reader.ts";
import { type Divergence, divergence } from "../statistics/logit-divergence.ts";
import { sharedExperts } from "./agreement.ts";
import { type Alignment, pairChunks } from "./alignment.ts";
import type { PairedDifferences } from "./shift-test.ts";

/** What one layer's routing of the paired rows adds up to. */
export interface LayerSums {
  /** Pairs that are compared, and those left out because a logit or weight of one of them is not finite. */
  readonly rows: number;
  readonly notFinite: number;
  /** Pairs with the same set of experts. */
  readonly exact: number;
  /** Experts that pairs have in common, over all pairs. */
  readonly shared: number;
  /** Pairs with the same best expert: see `withBestFirst`. */
  readonly top1: number;
  /** Sums of the divergences in nats; `null` unless both captures have the layer's logits. */
  readonly divergence: Divergence | null;
  /** Per expert the rows that used it. */
  readonly countsA: Uint32Array;
  readonly countsB: Uint32Array;
  /** Rows that used an expert in B minus those in A, by sample. */
  readonly differences: PairedDifferences;
}

/** What a pair's routing of one layer is, told for each pair that is compared; `js` is 0 without logits. */
type PairVisitor = (pair: number, shared: number, js: number) => void;

/** A side of a comparison, ready to be read. */
export interface ComparedSide {
  readonly model: ModelInfo;
  readonly columns: RowColumns;
  readonly reader: StreamReader;
}

/** Compare one layer's routing over all pairs, reading a few thousand rows at a time and each value once. */
export function compareLayer(
  a: ComparedSide,
  b: ComparedSide,
  layer: number,
  alignment: Alignment,
  visit: PairVisitor,
): LayerSums {
  const { experts, topK } = moeLayer(a.model.moe!, layer);
  const withLogits = [a, b].every(({ reader }) => reader.has("router_logits", layer));
  const usage = new SampleDifferences(experts);
  const total: Divergence = { kl: 0, js: 0 };
  const pair: Divergence = { kl: 0, js: 0 };
  let [exact, shared, top1, notFinite] = [0, 0, 0, 0];
  for (const { from, to, spanA, spanB } of pairChunks(alignment)) {
    const chunkA = layerChunk(a.reader, a.model, a.columns, layer, ...spanA);
    const chunkB = layerChunk(b.reader, b.model, b.columns, layer, ...spanB);
    const [idsA, idsB] = [chunkA.ids, chunkB.ids];
    const [bestA, bestB] = [chunkA.bestFirst, chunkB.bestFirst];
    const logitsA = withLogits ? chunkA.logits!.data : null;
    const logitsB = withLogits ? chunkB.logits!.data : null;
    const [unrankedA, unrankedB] = [chunkA.unranked, chunkB.unranked];
    for (let i = from; i < to; i++) {
      const rowA = alignment.a[i]! - spanA[0];
      const rowB = alignment.b[i]! - spanB[0];
      if (logitsA && logitsB) divergence(logitsA, rowA * experts, logitsB, rowB * experts, experts, pair);
      // What is no number agrees with nothing and differs from nothing.
      if (unrankedA?.[rowA] === 1 || unrankedB?.[rowB] === 1 || Number.isNaN(pair.js)) {
        notFinite++;
        pair.js = 0;
        continue;
      }
      const common = sharedExperts(idsA, rowA * topK, idsB, rowB * topK, topK);
      if (logitsA && logitsB) {
        total.kl += pair.kl;
        total.js += pair.js;
      }
      shared += common;
      if (common === topK) exact++;
      if (bestA[rowA * topK] === bestB[rowB * topK]) top1++;
      usage.enter(a.columns.sample[alignment.a[i]!]!);
      for (let k = 0; k < topK; k++) usage.add(idsA[rowA * topK + k]!, idsB[rowB * topK + k]!);
      visit(i, common, pair.js);
    }
  }
  const { countsA, countsB } = usage;
  return {
    rows: alignment.a.length - notFinite,
    notFinite,
    exact,
    shared,
    top1,
    divergence: withLogits ? total : null,
    countsA,
    countsB,
    differences: usage.finish(),
  };
}

/** Counts use of experts on both sides, as a whole and as differences by sample; samples come in order. */
class SampleDifferences {
  readonly countsA: Uint32Array;
  readonly countsB: Uint32Array;
  readonly #current: Int32Array;
  readonly #offsets = [0];
  readonly #columns: number[] = [];
  readonly #values: number[] = [];
  readonly #rows: number[] = [];
  #sample = -1;

  constructor(experts: number) {
    this.countsA = new Uint32Array(experts);
    this.countsB = new Uint32Array(experts);
    this.#current = new Int32Array(experts);
  }

  /** A row of the sample. */
  enter(sample: number): void {
    if (sample !== this.#sample) {
      this.#close();
      this.#sample = sample;
      this.#rows.push(0);
    }
    this.#rows[this.#rows.length - 1]!++;
  }

  add(expertA: number, expertB: number): void {
    this.countsA[expertA]!++;
    this.countsB[expertB]!++;
    this.#current[expertA]!--;
    this.#current[expertB]!++;
  }

  finish(): PairedDifferences {
    this.#close();
    return {
      rows: Float64Array.from(this.#rows),
      offsets: Uint32Array.from(this.#offsets),
      columns: Uint16Array.from(this.#columns),
      values: Int32Array.from(this.#values),
    };
  }

  /** A sample that uses every expert as often on both sides has no entries, and is a unit as in other layers. */
  #close(): void {
    if (this.#sample < 0) return;
    this.#current.forEach((value, expert) => {
      if (value === 0) return;
      this.#columns.push(expert);
      this.#values.push(value);
    });
    this.#offsets.push(this.#columns.length);
    this.#current.fill(0);
  }
}
