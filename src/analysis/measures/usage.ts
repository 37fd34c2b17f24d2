import { schema } from "../../core/schema.ts";
import { shareInterval } from "../statistics/cluster-interval.ts";
import { underusedExperts } from "../underused-experts.ts";
import type { StreamMeasure } from "./measure.ts";
import {
  allCounts,
  type ExpertCounts,
  expertCounts,
  labelCounts,
  type UsageCounts,
} from "./tallies/expert-counts.ts";
import { spreadOf } from "./tallies/unit-counts.ts";

/** How much work each expert of a layer does. */
export interface LayerLoad {
  /** One entry per expert, in order. */
  readonly experts: readonly ExpertLoad[];
  /** Texts that the intervals rest on; `null` where it is not known. */
  readonly texts: number | null;
  /** Rows whose mixing weights are not finite: their experts are counted, their weights are left out. */
  readonly notFinite: number;
  /** Of the labels that have rows, in the order of `CaptureAnalysis.labels`. */
  readonly byLabel: readonly LabelUsage[];
}

/** How much one expert of a layer is used, and whether that is too little for sure. */
export interface ExpertLoad {
  readonly expert: number;
  /** Rows that used it. */
  readonly count: number;
  /** ... as part of the layer's rows. */
  readonly share: number;
  /** {@link share} over the fair share; 1 is fair. */
  readonly timesFair: number;
  /** 95 % interval of {@link share}, a text as one observation; see `shareInterval`. */
  readonly interval: readonly [low: number, high: number];
  /** Sum of its mixing weights over the rows, and its part of the layer's; `null` when weights are not known. */
  readonly weight: number | null;
  readonly weightShare: number | null;
  /** `dead`: no row used it. `underused`: below half the fair share. */
  readonly state: "dead" | "underused" | "used";
  /** Whether the texts suffice for that: the whole interval lies below half the fair share. */
  readonly significant: boolean;
}

/** How often the rows of one label used each expert of a layer. */
export interface LabelUsage {
  readonly label: string | null;
  readonly rows: number;
  /** Per expert. */
  readonly counts: readonly number[];
  readonly weights: readonly number[] | null;
}

const CONFIDENCE = 0.95;
/** Experts in a summary. */
const BUSIEST = 3;

/** How often each expert was chosen, over all rows and by label. */
export const usage: StreamMeasure<"usage", LayerLoad, ExpertCounts, LayerLoad> = {
  name: "usage",
  scope: "layer",
  cost: "count",
  keeps: expertCounts,

  layer(state, { experts }) {
    const byLabel = labelCounts(state);
    return {
      experts: expertLoads(allCounts(state, experts)),
      texts: spreadOf(state.spread)?.texts ?? null,
      notFinite: state.notFinite,
      byLabel: byLabel
        .filter(([, { rows }]) => rows > 0)
        .map(([label, { rows, counts, weights }]) => ({
          label,
          rows,
          counts: [...counts],
          weights: weights && [...weights],
        })),
    };
  },

  summary: {
    of: ({ experts, texts }) => ({
      texts,
      dead: experts.filter(({ state }) => state === "dead").map(({ expert }) => expert),
      underused: experts.filter(({ significant }) => significant).map(({ expert }) => expert),
      busiest: experts
        .toSorted((a, b) => b.count - a.count)
        .slice(0, BUSIEST)
        .map(({ expert, share, interval }) => ({ expert, share, interval })),
    }),
    schema: schema((z) => {
      const expert = z.int().nonnegative();
      return z.strictObject({
        texts: z.number().nullable().meta({ description: "texts that the intervals rest on" }),
        dead: z.array(expert).meta({ description: "experts that no row used" }),
        underused: z
          .array(expert)
          .meta({ description: "whose whole interval lies below half the fair share" }),
        busiest: z.array(
          z.strictObject({
            expert,
            share: z.number(),
            interval: z
              .tuple([z.number(), z.number()])
              .meta({ description: "95 %, a text as one observation" }),
          }),
        ),
      });
    }),
  },

  schema: schema((z) => {
    const count = z.number().nonnegative();
    return z.strictObject({
      experts: z.array(
        z.strictObject({
          expert: z.int().nonnegative(),
          count: count.meta({ description: "rows that used it" }),
          share: z.number().meta({ description: "count / rows" }),
          timesFair: z.number().meta({ description: "share / fair share; 1 is fair" }),
          interval: z
            .tuple([z.number(), z.number()])
            .meta({ description: "95 % interval of the share, a text as one observation" }),
          weight: z.number().nullable().meta({ description: "sum of its mixing weights" }),
          weightShare: z.number().nullable().meta({ description: "its part of the layer's weight" }),
          state: z.enum(["dead", "underused", "used"]),
          significant: z.boolean().meta({ description: "the whole interval lies below half the fair share" }),
        }),
      ),
      texts: count.nullable().meta({ description: "texts that the intervals rest on" }),
      notFinite: count.meta({ description: "rows whose weights are not finite and are left out of weights" }),
      byLabel: z.array(
        z.strictObject({
          label: z.string().nullable(),
          rows: count,
          counts: z.array(count).meta({ description: "by expert" }),
          weights: z.array(z.number()).nullable().meta({ description: "by expert" }),
        }),
      ),
    });
  }),

  words: {
    title: "Expert usage",
    text: "How often each expert was chosen, over all tokens and for each label.",
    uncertainty:
      "95 % interval of each share, a text as one observation; from few texts it is wide, and from one it is everything",
    terms: {
      usage: {
        title: "Usage against fair share",
        text: "Part of the tokens that used an expert, divided by what it would serve if all served alike. 1 is fair, 2 is twice its share, 0 is never.",
        formula: "(tokens that used it / tokens) / (top-k / experts)",
      },
      fairShare: {
        title: "Fair share",
        text: "The part of the tokens that each expert would serve if all served alike.",
        formula: "top-k / experts",
      },
      weight: {
        title: "Expert weight",
        text: "What the engine multiplied an expert's output with before adding the outputs up, after normalisation and scaling.",
      },
      dead: {
        title: "Dead expert",
        text: "No token of these rows chose it. Few texts leave experts unused by chance, however long they are; a capture says so where the texts suffice.",
      },
      interval: {
        title: "95 % interval",
        text: "Where the share lies beyond these texts. A text counts as one observation, because its tokens resemble each other.",
        formula: "Wilson interval of the effective sample size p (1 − p) / v, v the variance between texts",
        source:
          "Korn and Graubard, Surv. Methodol. 24, 1998; Dean and Pagano, J. Surv. Stat. Methodol. 3, 2015",
      },
    },
  },
};

function expertLoads(all: UsageCounts): ExpertLoad[] {
  const { rows, counts, weights, spread } = all;
  const under = new Map(
    underusedExperts(all, { confidence: CONFIDENCE }).map((found) => [found.expert, found]),
  );
  const choices = counts.reduce((sum, count) => sum + count, 0);
  const weightTotal = weights?.reduce((sum, weight) => sum + weight, 0) ?? 0;
  return Array.from(counts, (count, expert) => ({
    expert,
    count,
    share: rows === 0 ? 0 : count / rows,
    timesFair: choices === 0 ? 0 : (count * counts.length) / choices,
    interval: rows === 0 || !spread ? [0, 1] : shareInterval(count, rows, spread, expert, CONFIDENCE),
    weight: weights && weights[expert]!,
    weightShare: weights && weightTotal > 0 ? weights[expert]! / weightTotal : null,
    state: count === 0 ? "dead" : under.has(expert) ? "underused" : "used",
    significant: under.get(expert)?.significant ?? false,
  }));
}
