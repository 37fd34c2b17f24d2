import { coefficientOfVariation } from "../analysis/statistics/balance.ts";
import { RequestError } from "../core/errors.ts";
import { rowsNotFinite } from "../core/finite-rows.ts";
import { argument, flag, optionsReader, thing, unchecked } from "../core/options.ts";
import { sliceRows, type Tensor } from "../core/tensor.ts";
import { softmax } from "../gating/softmax.ts";
import { topk } from "../gating/topk.ts";

/** Which experts and rows {@link analyzeExpertUsage} counts. */
export interface AnalyzeExpertUsageOptions {
  /** Experts to count per token. Default 2; the model's own number is `llm.info.moe.topK`. */
  readonly topK?: number;
  /**
   * Rows `[start, end)` to look at, with the rules of a Python slice: `null` is the beginning or the end, negative
   * numbers count from the end, what lies beyond the rows is ignored. Default: all.
   */
  readonly tokenRange?: readonly [start: number | null, end: number | null];
  /** Divide the counts by the number of tokens: how often a token used the expert. Default `false`. */
  readonly normalize?: boolean;
}

const readOptions = optionsReader<AnalyzeExpertUsageOptions>("hs.analyzeExpertUsage", {
  // The number of experts is the upper limit; `topk` knows it.
  topK: unchecked,
  tokenRange(value, name) {
    if (Array.isArray(value) && value.length <= 2 && value.every(isBound))
      return [value[0] ?? null, value[1] ?? null];
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${name} must be [start, end], whole numbers or null, got ${JSON.stringify(value)}`,
    );
  },
  normalize: flag,
});

const isBound = (bound: unknown) => bound === null || Number.isInteger(bound);

const isMap = thing<ReadonlyMap<number, Tensor<"float32">>>(
  "router logits by layer, as hs.getMoeRouterLogits gives them",
  (value) => typeof (value as Map<unknown, unknown>).entries === "function",
);

/** Everything by 0-based layer. */
export interface ExpertUsageAnalysis {
  /** Per expert: how many of the tokens chose it, or which part of them with `normalize`. */
  readonly expertUsageCounts: Map<number, number[]>;
  /** Coefficient of variation of the usage (unbiased standard deviation / mean); 0 is even. */
  readonly loadBalance: Map<number, number>;
  /** Chosen experts, `[tokens, topK]`, best first. */
  readonly expertSelection: Map<number, Tensor<"int32">>;
  /** Their probabilities, `[tokens, topK]`; they do not add up to 1. */
  readonly expertWeights: Map<number, Tensor<"float32">>;
  readonly numTokensAnalyzed: number;
  /**
   * Tokens of each layer whose logits are NaN or +Infinity. They are left out of `expertUsageCounts` and `loadBalance`
   * (EasySteer counts whatever `torch.topk` makes of them); `expertSelection` and `expertWeights` keep their rows.
   */
  readonly notFiniteTokens: Map<number, number>;
}

/**
 * Which experts the tokens choose: EasySteer's `analyze_expert_usage`, number for number.
 *
 * The rule is always top-k of the softmax, whatever the model's own is. For the experts that the model really used,
 * capture `expert_ids` and call `expertUsage`.
 *
 * @throws RequestError `INVALID_ARGUMENT` unless topK is a whole number from 1 to the number of experts, and for an
 *   unknown option.
 * @example
 * import { hs } from "moescope";
 * const [routerLogits] = await hs.getMoeRouterLogits(llm, ["The capital of France is Paris."]);
 * const { expertUsageCounts, loadBalance } = hs.analyzeExpertUsage(routerLogits, { topK: 2 });
 * for (const [layer, counts] of expertUsageCounts) console.log(layer, counts, loadBalance.get(layer));
 */
export function analyzeExpertUsage(
  routerLogits: ReadonlyMap<number, Tensor<"float32">>,
  options: AnalyzeExpertUsageOptions = {},
): ExpertUsageAnalysis {
  argument("hs.analyzeExpertUsage", "the first argument", routerLogits, isMap);
  const { topK = 2, tokenRange, normalize = false } = readOptions(options);
  const analysis = {
    expertUsageCounts: new Map<number, number[]>(),
    loadBalance: new Map<number, number>(),
    expertSelection: new Map<number, Tensor<"int32">>(),
    expertWeights: new Map<number, Tensor<"float32">>(),
    numTokensAnalyzed: 0,
    notFiniteTokens: new Map<number, number>(),
  };
  for (const [layer, all] of routerLogits) {
    const logits = sliceRows(all, ...resolveRange(tokenRange, all.dims[0]!));
    // The first layer's count stands for all of them: they see the same tokens.
    analysis.numTokensAnalyzed ||= logits.dims[0]!;
    const probabilities = softmax(logits);
    const broken = rowsNotFinite(probabilities.data, probabilities.dims[1]!);
    const notFinite = broken?.reduce((sum, of) => sum + of, 0) ?? 0;
    analysis.notFiniteTokens.set(layer, notFinite);
    const { values, indices } = topk(probabilities, topK);
    const counts = new Array<number>(logits.dims[1]!).fill(0);
    indices.data.forEach((expert, i) => {
      if (broken?.[Math.floor(i / topK)] !== 1) counts[expert]!++;
    });
    const counted = analysis.numTokensAnalyzed - notFinite;
    const tokens = normalize && counted > 0 ? counted : 1;
    const usage = counts.map((count) => count / tokens);
    analysis.expertSelection.set(layer, indices);
    analysis.expertWeights.set(layer, values);
    analysis.expertUsageCounts.set(layer, usage);
    analysis.loadBalance.set(layer, coefficientOfVariation(usage));
  }
  return analysis;
}

function resolveRange(range: AnalyzeExpertUsageOptions["tokenRange"], rows: number): [number, number] {
  const [start, end] = range ?? [null, null];
  const clamp = (bound: number) => Math.min(Math.max(bound < 0 ? rows + bound : bound, 0), rows);
  const from = clamp(start ?? 0);
  return [from, Math.max(from, clamp(end ?? rows))];
}
