import { schema } from "../../core/schema.ts";
import { loadBalancingLoss, type RouterLossSums, routerZLoss } from "../statistics/router-losses.ts";
import type { DerivedMeasure, StreamMeasure } from "./measure.ts";
import { type RouterSums, routerSums } from "./tallies/router-sums.ts";

/** What a layer's router says of the rows, and the losses that training would add for it. */
export interface RouterLosses {
  readonly rows: number;
  /** Rows left out: the log-sum-exp of their logits is not finite. */
  readonly notFinite: number;
  /** `load_balancing_loss_func` of Hugging Face transformers; {@link even} where all experts are alike. */
  readonly loadBalancing: number;
  /** Experts used per token: the loss of even routing. */
  readonly even: number;
  /** `router_z_loss_func`: mean squared log-sum-exp of the logits. */
  readonly zLoss: number;
  /** By expert the mean of softmax(logits). */
  readonly meanProbability: readonly number[];
  /** By expert the part of the rows where it is among the k of greatest logit. */
  readonly topShare: readonly number[];
  /**
   * The loss by the gate's own rule where that is no softmax: scores over their sum, and the experts really used, bias
   * and groups included. `null` for a softmax, and where rule or experts are not known.
   */
  readonly own: OwnLoss | null;
}

/** The load-balancing loss of a gate that is no softmax, by its own scores. */
export interface OwnLoss {
  /** The gate's score function. */
  readonly score: "sigmoid" | "sqrt_softplus";
  readonly loadBalancing: number;
  /** By expert the mean of score / sum of the row's scores. */
  readonly meanScore: readonly number[];
}

/** Losses of a layer's router; no result without router logits or rows. */
export const routerLosses: StreamMeasure<
  "routerLosses",
  RouterLosses | null,
  RouterSums,
  RouterLosses | null
> = {
  name: "routerLosses",
  scope: "layer",
  cost: "count",
  keeps: routerSums,

  layer({ rows, notFinite, experts, topK, probabilities, chosen, squaredLogZ, own }) {
    if (rows === 0) return null;
    const width = (values: Float64Array) => values.subarray(0, experts);
    const sums: RouterLossSums = {
      rows,
      probabilities: width(probabilities),
      chosen: width(chosen),
      squaredLogZ,
    };
    const ofOwn: RouterLossSums = {
      rows: own.rows,
      probabilities: width(own.shares),
      chosen: width(own.used),
      squaredLogZ: 0,
    };
    const mean = (values: Float64Array, over: number) => Array.from(width(values), (value) => value / over);
    return {
      rows,
      notFinite,
      loadBalancing: loadBalancingLoss([sums]),
      even: topK,
      zLoss: routerZLoss([sums]),
      meanProbability: mean(probabilities, rows),
      topShare: mean(chosen, rows),
      own:
        own.score && own.rows > 0
          ? {
              score: own.score,
              loadBalancing: loadBalancingLoss([ofOwn]),
              meanScore: mean(own.shares, own.rows),
            }
          : null,
    };
  },

  schema: schema((z) => {
    const count = z.int().nonnegative();
    return z
      .strictObject({
        rows: count,
        notFinite: count.meta({ description: "rows left out: their logits are not finite" }),
        loadBalancing: z.number().meta({ description: "experts * sum of topShare * meanProbability" }),
        even: count.meta({ description: "the loss of even routing: top-k" }),
        zLoss: z.number().meta({ description: "mean of (log sum exp logits)^2" }),
        meanProbability: z.array(z.number()).meta({ description: "by expert, mean of softmax(logits)" }),
        topShare: z
          .array(z.number())
          .meta({ description: "by expert, part of the rows with it among the k greatest logits" }),
        own: z
          .strictObject({
            score: z.enum(["sigmoid", "sqrt_softplus"]),
            loadBalancing: z.number(),
            meanScore: z.array(z.number()).meta({ description: "by expert, mean of score / sum of scores" }),
          })
          .nullable()
          .meta({ description: "by the gate's own scores and the experts really used; null for a softmax" }),
      })
      .nullable();
  }),

  words: {
    title: "Router losses",
    text: "What training would add to the loss for this routing: for uneven load, and for large logits.",
    uncertainty: "none: they describe these tokens",
    terms: {
      meanProbability: {
        title: "Mean router probability",
        text: "The mean of an expert's probability over the tokens: what the router means to give it, chosen or not.",
        formula: "mean of softmax(router logits)",
      },
      loadBalancingLoss: {
        title: "Load-balancing loss",
        text: "The auxiliary loss of Switch Transformers: top-k where all experts are alike, more where the load is uneven. Always of softmax and the k greatest logits, as Hugging Face computes it; for gates that are no softmax the same is also given by their own scores and the experts really used.",
        formula:
          "experts · Σ f P,  f = part of the tokens with the expert among their k, P = mean probability",
        source:
          "Fedus et al., arXiv:2101.03961; Hugging Face transformers, load_balancing_loss_func; own scores: DeepSeek-V3, arXiv:2412.19437, equations 17 to 20",
      },
      zLoss: {
        title: "Router z-loss",
        text: "Large where router logits are large, which makes training in low precision unstable.",
        formula: "mean of (log Σ exp logits)²",
        source: "Zoph et al., arXiv:2202.08906; Hugging Face transformers, router_z_loss_func",
      },
    },
  },
};

/** The losses over the rows of all layers together, as transformers computes them. */
export interface ModelLosses {
  /** MoE layers that have router logits. */
  readonly layers: number;
  /** Not the mean of the layers' losses: f and P are means over all layers first. */
  readonly loadBalancing: number;
  readonly even: number;
  readonly zLoss: number;
}

/** No result where no layer has router logits, or layers have different numbers of experts. */
export const modelLosses: DerivedMeasure<"modelLosses", ModelLosses | null> = {
  name: "modelLosses",
  scope: "derived",
  cost: "count",
  from: ["routerLosses"],
  derive: (layers) => lossesOfAll(layers.map(({ results }) => results.routerLosses as RouterLosses | null)),
  schema: schema((z) =>
    z
      .strictObject({
        layers: z.int().positive().meta({ description: "layers with router logits" }),
        loadBalancing: z.number().meta({ description: "of the rows of all layers together" }),
        even: z.int().positive(),
        zLoss: z.number(),
      })
      .nullable(),
  ),
  words: {
    title: "Router losses of the model",
    text: "The load-balancing loss and the z-loss over the tokens of all layers together.",
    uncertainty: "none: they describe these tokens",
    terms: {},
  },
};

/** The losses of several layers together; `null` stands for a layer without router logits. */
export function lossesOfAll(layers: readonly (RouterLosses | null)[]): ModelLosses | null {
  const found = layers.filter((of) => of !== null);
  const shapes = new Set(found.map(({ even, meanProbability }) => `${even} ${meanProbability.length}`));
  if (shapes.size !== 1) return null;
  const sums = found.map(({ rows, meanProbability, topShare, zLoss }) => ({
    rows,
    probabilities: meanProbability.map((mean) => mean * rows),
    chosen: topShare.map((share) => share * rows),
    squaredLogZ: zLoss * rows,
  }));
  return {
    layers: found.length,
    loadBalancing: loadBalancingLoss(sums),
    even: found[0]!.even,
    zLoss: routerZLoss(sums),
  };
}
