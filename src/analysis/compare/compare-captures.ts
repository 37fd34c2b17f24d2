import type { Capture } from "../../capture/capture.ts";
import { checkCapture } from "../../capture/check-capture.ts";
import { RequestError } from "../../core/errors.ts";
import type { MoeInfo } from "../../core/model-info.ts";
import { moeLayer } from "../../core/moe-layer.ts";
import { optionsReader, whole } from "../../core/options.ts";
import { routedLayers } from "../rows/chosen.ts";
import { columnsOf } from "../rows/row-columns.ts";
import { readerOf } from "../rows/stream-reader.ts";
import { allAtOnce, type Steps } from "../scan/steps.ts";
import { DEFAULT_PERMUTATIONS } from "../statistics/randomization/random.ts";
import { alignRows, type DivergingText } from "./alignment.ts";
import { type ComparedSide, compareLayer } from "./compare-layer.ts";
import {
  type ComparedRows,
  type FirstDisagreement,
  firstDisagreements,
  type MovedToken,
  mostMoved,
  NONE,
} from "./compared-rows.ts";
import { testShifts } from "./shift-test.ts";
import { type UsageShift, usageShifts } from "./usage-shift.ts";

/** How {@link compareCaptures} tests and what it lists. */
export interface CompareOptions {
  /**
   * Random permutations of the usage test. Default 1999: p-values down to 0.0005. Up to 10 samples every permutation
   * is tried.
   */
  readonly permutations?: number;
  /** Same seed, same p-values. Default 0. */
  readonly seed?: number;
  /** Tokens listed in {@link CaptureComparison.moved}. Default 20. */
  readonly tokens?: number;
}

const readOptions = optionsReader<CompareOptions>("compareCaptures", {
  permutations: whole(1),
  seed: whole(0, 0xffffffff),
  tokens: whole(0),
});

/** How two captures route the same rows in one layer. */
export interface LayerComparison {
  /** Rows left out of this layer's figures, because a router logit or weight of A or B is NaN or infinite. */
  readonly notFinite: number;
  /** Part of the rows with the same set of experts. */
  readonly exact: number;
  /** Mean of |A ∩ B| / topK. */
  readonly overlap: number;
  /** Part of the rows with the same best expert: that of most weight; without weights, of the greatest logit. */
  readonly top1: number;
  /** Mean KL(A || B) of the softmax of the router logits, in nats; `null` unless both captures have logits. */
  readonly kl: number | null;
  /** Mean Jensen-Shannon divergence in nats, at most ln 2; see docs/analysis.md. */
  readonly js: number | null;
  /** Rows whose experts differ here and in no layer before. */
  readonly firstToDiffer: number;
  /** One entry per expert, in order. */
  readonly experts: readonly UsageShift[];
}

/** How two captures of the same tokens differ: what {@link compareCaptures} gives. */
export interface CaptureComparison {
  readonly rows: ComparedRows;
  /** Rows of A without a counterpart, because B kept other rows or samples. */
  readonly onlyA: number;
  readonly onlyB: number;
  /** Where generated texts diverge; nothing behind is compared. */
  readonly divergingTexts: readonly DivergingText[];
  /** By 0-based layer, those whose routing both captures have. */
  readonly layers: ReadonlyMap<number, LayerComparison>;
  /**
   * Rows of which some layer is left out, because a router logit or weight of A or B is NaN or infinite there: such a row
   * agrees with nothing.
   */
  readonly notFinite: number;
  /** Part of the other rows with the same experts in every layer compared; 0 where there are no others. */
  readonly exact: number;
  /** Where each sample that differs at all does so first, in the order of the computation. */
  readonly firstDisagreements: readonly FirstDisagreement[];
  /** The rows whose routing differs most, most first. */
  readonly moved: readonly MovedToken[];
}

/**
 * Compare the routing of two captures, row by row: one model twice, quantised against full, fine-tuned against base,
 * one engine against another.
 *
 * Rows are paired by sample and position and must be the same token. Rows that only one capture kept are counted and
 * left out. Usage is tested by swapping A and B within samples; see `testShifts`. Of the captures a few
 * thousand rows are in memory at a time, of the result some numbers a row.
 *
 * @throws RequestError `INVALID_ARGUMENT` when the prompts or their tokenisation differ, when the models have different
 *   numbers of layers or experts, when there is no row or layer in common, and for a wrong argument; `UNKNOWN_STREAM` when a capture has
 *   neither expert ids nor router logits.
 * @example
 * import { openCapture } from "moescope";
 * import { compareCaptures } from "moescope/analysis";
 * const comparison = compareCaptures(await openCapture("full"), await openCapture("q4"));
 * for (const [layer, { exact, kl }] of comparison.layers)
 *   console.log(`layer ${layer}: ${(100 * exact).toFixed(1)} % of tokens keep their experts, KL ${kl} nats`);
 */
export function compareCaptures(a: Capture, b: Capture, options: CompareOptions = {}): CaptureComparison {
  return allAtOnce(captureComparison(a, b, options));
}

/** {@link compareCaptures}, a layer a step. */
export function* captureComparison(
  a: Capture,
  b: Capture,
  options: CompareOptions = {},
): Steps<CaptureComparison> {
  checkCapture("compareCaptures", "the first capture", a);
  checkCapture("compareCaptures", "the second capture", b);
  const { permutations = DEFAULT_PERMUTATIONS, seed = 0, tokens = 20 } = readOptions(options);
  const [moeA, moeB] = sameShape(a, b);
  const { experts } = moeA;
  const layers = layersInCommon(a, b);
  const topK = topKOf(moeA, moeB, layers);
  const alignment = alignRows(a, b);
  const count = alignment.a.length;
  if (count === 0) throw refused("they have no row (sample and position) in common");

  const comparedIn = new Uint32Array(count);
  const overlapOf = new Float64Array(count);
  const jsOf = new Float64Array(count);
  const firstLayer = new Int32Array(count).fill(NONE);
  const [sideA, sideB] = [sideOf(a), sideOf(b)];
  const sums = [];
  for (const layer of layers) {
    const { differences, ...rest } = compareLayer(sideA, sideB, layer, alignment, (pair, shared, js) => {
      comparedIn[pair]!++;
      overlapOf[pair]! += shared / topK(layer);
      jsOf[pair]! += js;
      if (shared < topK(layer) && firstLayer[pair] === NONE) firstLayer[pair] = layer;
    });
    if (rest.rows === 0)
      throw refused(
        `in layer ${layer} the logits or weights of every row are NaN or infinite in one of them`,
      );
    // Tested at once: the differences by sample of one layer are in memory, not those of all.
    const test = testShifts(differences, experts, permutations, seed);
    sums.push({ ...rest, rowsA: rest.rows, rowsB: rest.rows, matched: null, ...test });
    yield { done: sums.length, total: layers.length };
  }
  const shifts = usageShifts(sums);

  const column = (values: Int32Array) => Int32Array.from(alignment.a, (row) => values[row]!);
  const rows: ComparedRows = {
    length: count,
    sample: column(a.rows.sample),
    position: column(a.rows.position),
    tokenId: column(a.rows.tokenId),
    overlap: overlapOf.map((overlap, pair) => overlap / comparedIn[pair]!),
    js: sums.every(({ divergence }) => divergence) ? jsOf.map((js, pair) => js / comparedIn[pair]!) : null,
    firstLayer,
  };
  const whole = comparedIn.filter((compared) => compared === layers.length).length;
  const same = firstLayer.filter(
    (layer, pair) => layer === NONE && comparedIn[pair] === layers.length,
  ).length;
  return {
    rows,
    notFinite: count - whole,
    onlyA: alignment.onlyA,
    onlyB: alignment.onlyB,
    divergingTexts: alignment.divergingTexts,
    layers: new Map(
      sums.map(({ rows: compared, notFinite, exact, shared, top1, divergence }, i) => [
        layers[i]!,
        {
          notFinite,
          exact: exact / compared,
          overlap: shared / topK(layers[i]!) / compared,
          top1: top1 / compared,
          kl: divergence && divergence.kl / compared,
          js: divergence && divergence.js / compared,
          firstToDiffer: countOf(firstLayer, layers[i]!),
          experts: shifts[i]!,
        },
      ]),
    ),
    exact: whole === 0 ? 0 : same / whole,
    firstDisagreements: firstDisagreements(a, rows),
    moved: mostMoved(a, rows, tokens),
  };
}

const sideOf = (capture: Capture): ComparedSide => ({
  model: capture.model,
  columns: columnsOf(capture),
  reader: readerOf(capture),
});

/** The routing of both models, which has the same shape. */
function sameShape(a: Capture, b: Capture): [MoeInfo, MoeInfo] {
  const [left, right] = [a.model, b.model];
  if (!left.moe || !right.moe) {
    const dense = left.moe ? right.name : left.name;
    throw refused(`${dense} is dense: it has no experts`);
  }
  const facts = [
    ["layers", left.layers, right.layers],
    ["experts", left.moe.experts, right.moe.experts],
    ["experts used per token", left.moe.topK, right.moe.topK],
  ] as const;
  for (const [what, ofA, ofB] of facts)
    if (ofA !== ofB)
      throw refused(
        `A (${left.name}) has ${ofA} ${what}, B (${right.name}) ${ofB}; expert ids would not match`,
      );
  return [left.moe, right.moe];
}

/** Experts used per token, by layer. */
function topKOf(a: MoeInfo, b: MoeInfo, layers: readonly number[]): (layer: number) => number {
  const topK = (layer: number) => moeLayer(a, layer).topK;
  const other = layers.find((layer) => topK(layer) !== moeLayer(b, layer).topK);
  if (other !== undefined)
    throw refused(
      `in layer ${other} A uses ${topK(other)} experts per token and B ${moeLayer(b, other).topK}; their sets are never equal`,
    );
  return topK;
}

function layersInCommon(a: Capture, b: Capture): number[] {
  const [left, right] = [routedLayers(a), routedLayers(b)];
  const common = left.filter((layer) => right.includes(layer));
  if (common.length === 0)
    throw refused(
      `A was captured in the layers ${left.join(", ")}, B in ${right.join(", ")}; none is in both`,
    );
  return common;
}

const countOf = (values: Int32Array, wanted: number) =>
  values.reduce((count, value) => count + (value === wanted ? 1 : 0), 0);

const refused = (why: string) =>
  new RequestError("INVALID_ARGUMENT", `the captures cannot be compared: ${why}`);
