import type { Capture } from "../../capture/capture.ts";
import { type ChosenRows, chosenRows, hasStream } from "../scan/chosen.ts";
import { type Divergence, divergence } from "../statistics/logit-divergence.ts";
import type { PairedDifferences } from "../statistics/randomization/sign-flip-test.ts";
import { sharedExperts } from "./agreement.ts";
import { type Alignment, pairChunks } from "./alignment.ts";

/** What one layer's routing of the paired rows adds up to. */
export interface LayerSums {
  /** Pairs with the same set of experts. */
  readonly exact: number;
  /** Experts that pairs have in common, over all pairs. */
  readonly shared: number;
  /** Pairs with the same best expert: that of most weight, the first where weights are not known. */
  readonly top1: number;
  /** Sums of the divergences in nats; `null` unless both captures have the layer's logits. */
  readonly divergence: Divergence | null;
  /** Per expert the rows that used it. */
  readonly countsA: Uint32Array;
  readonly countsB: Uint32Array;
  /** Rows that used an expert in B minus those in A, by sample. */
  readonly differences: PairedDifferences;
}

/** What a pair's routing of one layer is, told pair by pair; `js` is 0 without logits. */
type PairVisitor = (pair: number, shared: number, js: number) => void;

/** Compare one layer's routing over all pairs, reading a few thousand rows at a time. */
export function compareLayer(
  a: Capture,
  b: Capture,
  layer: number,
  alignment: Alignment,
  visit: PairVisitor,
): LayerSums {
  const { experts, topK } = a.model.moe!;
  const withLogits = [a, b].every((capture) => hasStream(capture, "router_logits", layer));
  const usage = new SampleDifferences(experts);
  const total: Divergence = { kl: 0, js: 0 };
  const pair: Divergence = { kl: 0, js: 0 };
  let [exact, shared, top1] = [0, 0, 0];
  for (const { from, to, spanA, spanB } of pairChunks(alignment)) {
    const [chosenA, chosenB] = [chosenRows(a, layer, ...spanA), chosenRows(b, layer, ...spanB)];
    const [idsA, idsB] = [chosenA.ids, chosenB.ids];
    const weighted = chosenA.weights !== null && chosenB.weights !== null;
    const logitsA = withLogits ? a.routerLogits.rows(layer, ...spanA).data : null;
    const logitsB = withLogits ? b.routerLogits.rows(layer, ...spanB).data : null;
    for (let i = from; i < to; i++) {
      const rowA = alignment.a[i]! - spanA[0];
      const rowB = alignment.b[i]! - spanB[0];
      const common = sharedExperts(idsA, rowA * topK, idsB, rowB * topK, topK);
      if (logitsA && logitsB) {
        divergence(logitsA, rowA * experts, logitsB, rowB * experts, experts, pair);
        total.kl += pair.kl;
        total.js += pair.js;
      }
      shared += common;
      if (common === topK) exact++;
      const bestA = weighted ? heaviest(chosenA, rowA * topK, topK) : idsA[rowA * topK];
      const bestB = weighted ? heaviest(chosenB, rowB * topK, topK) : idsB[rowB * topK];
      if (bestA === bestB) top1++;
      usage.enter(a.rows.sample[alignment.a[i]!]!);
      for (let k = 0; k < topK; k++) usage.add(idsA[rowA * topK + k]!, idsB[rowB * topK + k]!);
      visit(i, common, pair.js);
    }
  }
  const { countsA, countsB } = usage;
  return {
    exact,
    shared,
    top1,
    divergence: withLogits ? total : null,
    countsA,
    countsB,
    differences: usage.finish(),
  };
}

/** The expert with the greatest weight: engines need not rank the experts of a row (vLLM's grouped top-k does not). */
function heaviest({ ids, weights }: ChosenRows, from: number, topK: number): number {
  let best = from;
  for (let i = from + 1; i < from + topK; i++) if (weights![i]! > weights![best]!) best = i;
  return ids[best]!;
}

/** Counts use of experts on both sides, as a whole and as differences by sample; samples come in order. */
class SampleDifferences {
  readonly countsA: Uint32Array;
  readonly countsB: Uint32Array;
  readonly #current: Int32Array;
  readonly #offsets = [0];
  readonly #columns: number[] = [];
  readonly #values: number[] = [];
  #sample = -1;

  constructor(experts: number) {
    this.countsA = new Uint32Array(experts);
    this.countsB = new Uint32Array(experts);
    this.#current = new Int32Array(experts);
  }

  enter(sample: number): void {
    if (sample === this.#sample) return;
    this.#close();
    this.#sample = sample;
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
      offsets: Uint32Array.from(this.#offsets),
      columns: Uint16Array.from(this.#columns),
      values: Int32Array.from(this.#values),
    };
  }

  /** A sample that uses every expert as often on both sides has nothing to swap and is no unit. */
  #close(): void {
    const before = this.#columns.length;
    this.#current.forEach((value, expert) => {
      if (value === 0) return;
      this.#columns.push(expert);
      this.#values.push(value);
    });
    if (this.#columns.length > before) this.#offsets.push(this.#columns.length);
    this.#current.fill(0);
  }
}
