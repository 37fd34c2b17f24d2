import type { LoadBalance } from "./statistics/balance.ts";

export interface LayerAnalysis {
  /** 0-based, dense layers counted. */
  readonly layer: number;
  readonly rows: number;
  /** One entry per expert, in order. */
  readonly experts: readonly ExpertLoad[];
  /** `null` without rows. */
  readonly balance: LoadBalance | null;
  /** In the order of {@link CaptureAnalysis.labels}. */
  readonly byLabel: readonly LabelUsage[];
  /** Routing entropy, nats: from 0 to ln(experts). `null` without router logits. */
  readonly entropy: RowSummary | null;
  /** Lowest logit chosen minus highest not chosen. `null` without router logits. */
  readonly margin: RowSummary | null;
  /** Experts by the samples' labels; labels permuted between samples. `null` with fewer than two labels. */
  readonly specialization: GroupUsage | null;
  /** Experts by class of token (digits, punctuation, words by script, ...); classes rotated within samples. */
  readonly tokenClasses: GroupUsage | null;
  /** Experts by position in the text; positions rotated within samples. `null` with one position only. */
  readonly positions: Drift | null;
  /** Experts by phase: prompt against generated. `null` when one of the two has no rows. */
  readonly phases: Drift | null;
  /** `null` for top-1 routing: no two experts serve one token. */
  readonly coactivation: CoactivationSummary | null;
  /** What each expert likes, in order of expert. */
  readonly tastes: readonly ExpertTaste[];
  /** How much of the choice can be read from the hidden state of the layer before. `null` without that stream. */
  readonly hidden: HiddenRelation | null;
}

/** How much work an expert does. */
export interface ExpertLoad {
  readonly expert: number;
  /** Rows that used it. */
  readonly count: number;
  /** ... as part of the layer's rows. */
  readonly share: number;
  /** {@link share} over the fair share; 1 is fair. */
  readonly timesFair: number;
  /** 95 % Wilson interval of {@link share}. */
  readonly interval: readonly [low: number, high: number];
  /** Sum of its mixing weights over the rows, and its part of the layer's; `null` when weights are not known. */
  readonly weight: number | null;
  readonly weightShare: number | null;
  /** `dead`: no row used it. `underused`: below half the fair share. */
  readonly state: "dead" | "underused" | "used";
  /** Whether the rows suffice for that: the whole interval lies below half the fair share. */
  readonly certain: boolean;
}

export interface LabelUsage {
  readonly label: string | null;
  readonly rows: number;
  /** Per expert. */
  readonly counts: readonly number[];
  readonly weights: readonly number[] | null;
  readonly balance: LoadBalance | null;
  /** Means over the label's rows. */
  readonly entropy: number | null;
  readonly margin: number | null;
}

/** A number of each row, over the rows where it is finite. */
export interface RowSummary {
  readonly rows: number;
  readonly mean: number | null;
  /** Unbiased standard deviation. */
  readonly deviation: number | null;
  readonly min: number | null;
  readonly max: number | null;
}

/**
 * How groups of rows use a layer's experts, and whether that is more than chance. Shares are
 * `counts[group][expert] / rows[group]`.
 */
export interface GroupUsage {
  readonly groups: readonly string[];
  /** Rows of each group. */
  readonly rows: readonly number[];
  /** `[group][expert]`: rows of the group that used the expert. */
  readonly counts: readonly (readonly number[])[];
  /** Mutual information of (expert, group) over all choices, bits. */
  readonly mutualInformation: number;
  /** The same under permutation, on average: the part that means nothing. */
  readonly chanceInformation: number;
  readonly pValue: number;
  /** Per expert: mutual information of (row used it, group), bits. */
  readonly experts: {
    readonly mutualInformation: readonly number[];
    readonly chanceInformation: readonly number[];
    readonly pValues: readonly number[];
    /** Benjamini-Hochberg over all layers and experts. */
    readonly qValues: readonly number[];
  };
  /** `[group][expert]`: how often chance gives a share as high or higher. */
  readonly shares: {
    readonly pValues: readonly (readonly number[])[];
    /** Benjamini-Hochberg over all layers, experts and groups. */
    readonly qValues: readonly (readonly number[])[];
  };
  /** Rows that information and p-values rest on: of large captures some samples, where the counts are of all. */
  readonly testedRows: number;
}

/** Usage along the text: the groups are ordered. */
export interface Drift {
  readonly groups: readonly DriftGroup[];
  /** Mutual information of (expert, group) over all choices, bits; with what chance brings and its p-value. */
  readonly mutualInformation: number;
  readonly chanceInformation: number;
  readonly pValue: number;
  /** Rows the tests, divergences and this information rest on; see {@link GroupUsage.testedRows}. */
  readonly testedRows: number;
}

export interface DriftGroup {
  /** `prompt`, `generated`, or positions `[from, to)` written `0`, `1-3`, `4-15`, ... */
  readonly name: string;
  readonly rows: number;
  /** Per expert the rows of the group that used it. */
  readonly counts: readonly number[];
  /** Mean routing entropy of the group's rows, nats. */
  readonly entropy: number | null;
  /** Jensen-Shannon divergence of the group's usage from all other groups' usage, nats (at most ln 2). */
  readonly divergence: number;
  readonly chanceDivergence: number;
  readonly pValue: number;
  /** Benjamini-Hochberg over all layers and groups. */
  readonly qValue: number;
}

/** Experts of one layer that serve the same tokens. */
export interface CoactivationSummary {
  /** Lift of all pairs together; see `Coactivation.neutralLift`. */
  readonly neutralLift: number;
  /** Pairs that seek each other's company most, by {@link CoactivationPair.attraction}. */
  readonly together: readonly CoactivationPair[];
  /** Pairs that avoid each other most. */
  readonly apart: readonly CoactivationPair[];
  /** Groups of experts that serve the same tokens; average linkage, cut where the silhouette is widest. */
  readonly clusters: readonly (readonly number[])[];
  /** Mean silhouette width of these clusters, -1 to 1; below 0.25 there is no structure to speak of. */
  readonly silhouette: number | null;
  /** The experts in the order of the dendrogram's leaves, dead ones last: a map in this order shows blocks. */
  readonly order: readonly number[];
  /** `[expert][expert]` of attraction, 3 digits; `null` where undefined. Left out (`null`) beyond 128 experts. */
  readonly attraction: readonly (readonly (number | null)[])[] | null;
}

export interface CoactivationPair {
  readonly a: number;
  readonly b: number;
  /** Rows that used both. */
  readonly count: number;
  /** count / (count expected of independent experts). */
  readonly lift: number;
  /** {@link lift} over the neutral lift; above 1 they seek each other's company. */
  readonly attraction: number;
}

/** What tokens and contexts an expert serves. */
export interface ExpertTaste {
  readonly expert: number;
  /** Token types to which it gives most weight, each where that weight is greatest. Empty without weights. */
  readonly byWeight: readonly TokenInContext[];
  /** Token types it serves far more often than other tokens. */
  readonly byLift: readonly TokenPreference[];
}

export interface TokenInContext {
  readonly sample: number;
  readonly position: number;
  readonly tokenId: number;
  readonly text: string;
  /** The text around it that the capture has. */
  readonly before: string;
  readonly after: string;
  readonly label: string | null;
  readonly weight: number;
}

export interface TokenPreference {
  readonly tokenId: number;
  readonly text: string;
  /** Rows of this token that used the expert, of so many rows of this token. */
  readonly count: number;
  readonly of: number;
  /** P(expert | token) / P(expert). */
  readonly lift: number;
  /** The same from the lower end of P(expert | token)'s 95 % Wilson interval: what the list is ordered by. */
  readonly certainLift: number;
}

/** How a layer's choice relates to the hidden state of the layer before it. */
export interface HiddenRelation {
  /** The layer whose output is used: the one before. The router itself reads it after this layer's attention. */
  readonly stateOf: number;
  readonly probe: LinearProbe | null;
  /** `[expert][expert]`: cosine of the experts' mean states, the mean of all rows taken off; 3 digits. */
  readonly similarity: readonly (readonly (number | null)[])[] | null;
  /** Experts whose tokens look most alike. */
  readonly alike: readonly { readonly a: number; readonly b: number; readonly cosine: number }[];
}

/** A linear classifier of the best expert, tried on samples that it was not fitted on. */
export interface LinearProbe {
  /** Part of the held-out rows whose best expert it names. */
  readonly accuracy: number;
  /** 95 % Wilson interval of it; rows taken as independent. */
  readonly interval: readonly [low: number, high: number];
  /** The same for always naming the most frequent expert. */
  readonly chance: number;
  /** The same for naming the expert that the token's type most often had, whatever the context. */
  readonly tokenAccuracy: number;
  readonly fittedRows: number;
  readonly testedRows: number;
  /** Numbers per state that the classifier saw: random projections beyond 512. */
  readonly dimensions: number;
}
