import { schema } from "../../core/schema.ts";
import type { RowColumns } from "../rows/row-columns.ts";
import { type TokenTypes, tokenTypes } from "../rows/token-types.ts";
import { type Candidate, contenders, falseDiscovery, findingsOf } from "../statistics/false-discovery.ts";
import { ALPHA } from "../statistics/randomization/least-q.ts";
import type { LayerMeasure, LayerScope, Tally } from "./measure.ts";
import { addHeaviest, type HeaviestTokens, heaviestOf, startHeaviest } from "./tallies/heaviest-tokens.ts";
import {
  addTypeUsage,
  closeStratum,
  preferencesOf,
  startTypeUsage,
  type TypeUsage,
} from "./tallies/type-usage.ts";

/** What tokens and contexts a layer's experts serve. */
export interface LayerTokenPreferences {
  /** Texts in which a token type must occur to be tested: in fewer, serving it each time would not be beyond chance. */
  readonly textsNeeded: number | null;
  /** Token types that were tested with every expert of every layer. */
  readonly testedTypes: number;
  readonly experts: readonly TokenPreferences[];
}

/** What tokens and contexts an expert serves. */
export interface TokenPreferences {
  readonly expert: number;
  /** Token types to which it gives most weight, each where that weight is greatest. Empty without weights. */
  readonly byWeight: readonly TokenInContext[];
  /** Token types it serves more often than chance explains, q <= 0.05, by {@link TokenPreference.liftLow}. */
  readonly byLift: readonly TokenPreference[];
}

/** A token in its sample, with the text around it and the weight that the expert had for it. */
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

/** A token of the vocabulary that goes to an expert more often than others do. */
export interface TokenPreference {
  readonly tokenId: number;
  readonly text: string;
  /** Rows of this token that used the expert, of so many rows of this token ... */
  readonly count: number;
  readonly of: number;
  /** ... in so many texts, each of which is one observation. */
  readonly texts: number;
  /** Part of the token's rows that used the expert, over that of other tokens of the same texts; means over texts. */
  readonly lift: number;
  /** The same at the lower end of its 95 % interval: what the list is ordered by. */
  readonly liftLow: number;
  /** Corrected for all tested types, experts and layers. */
  readonly qValue: number;
}

/** Tokens listed for an expert, by weight and by lift. */
const MAX_TOKENS = 10;
/** Tokens of context before and after. */
const BEFORE = 8;
const AFTER = 4;

interface Ahead {
  readonly types: TokenTypes;
  readonly columns: RowColumns;
}

interface State {
  readonly usage: TypeUsage;
  readonly heaviest: HeaviestTokens;
}

type Scope = LayerScope<Ahead>;

const tokensOfExperts: Tally<State, Ahead, State> = {
  needs: ["chosen"],
  prepare: (columns, { experts, topK, model }) => ({
    types: tokenTypes(columns, experts, experts * (model.moe?.layers.length ?? 0), topK / experts),
    columns,
  }),
  start: ({ ahead: { types }, experts }) => ({
    usage: startTypeUsage(types, experts),
    heaviest: startHeaviest(experts, MAX_TOKENS),
  }),
  take({ usage, heaviest }, chunk, { ahead: { types, columns } }) {
    addTypeUsage(usage, chunk, types);
    addHeaviest(heaviest, chunk, columns.tokenId);
  },
  find(state) {
    closeStratum(state.usage);
    return state;
  },
};

type Preferred = Candidate & Omit<TokenPreference, "qValue">;

/** What a layer keeps until all are tested. */
interface LayerTokens {
  readonly tests: number;
  /** Those of at most {@link ALPHA}. */
  readonly pValues: Float64Array;
  readonly found: Omit<LayerTokenPreferences, "experts"> & {
    readonly experts: readonly (Omit<TokenPreferences, "byLift"> & {
      readonly byLift: readonly Preferred[];
    })[];
  };
}

/** Which tokens each expert of a layer serves, in order of expert. */
export const tokenPreferences: LayerMeasure<
  "tokenPreferences",
  LayerTokenPreferences,
  State,
  LayerTokens,
  Ahead
> = {
  name: "tokenPreferences",
  scope: "layer",
  cost: "count",
  keeps: tokensOfExperts,
  layer: tokensOf,
  across(parts) {
    const having = parts.filter((part) => part !== null);
    const q = falseDiscovery(
      having.map(({ pValues }) => pValues),
      having.reduce((sum, { tests }) => sum + tests, 0),
    );
    return having.map(({ found }) => ({
      ...found,
      experts: found.experts.map((of) => ({
        ...of,
        byLift: findingsOf(of.byLift, q, ALPHA, MAX_TOKENS).map(({ pValue: _, strength, ...found }) => found),
      })),
    }));
  },
  overview: () => null,
  schema: schema((z) => {
    const count = z.int().nonnegative();
    const experts = z.array(
      z.strictObject({
        expert: count,
        byWeight: z
          .array(
            z.strictObject({
              sample: count,
              position: count,
              tokenId: z.int(),
              text: z.string(),
              before: z.string(),
              after: z.string(),
              label: z.string().nullable(),
              weight: z.number(),
            }),
          )
          .meta({ description: "token types it gave most weight, each where that was greatest" }),
        byLift: z
          .array(
            z.strictObject({
              tokenId: z.int(),
              text: z.string(),
              count: count.meta({ description: "rows of this token that used the expert" }),
              of: count.meta({ description: "rows of this token" }),
              texts: count.meta({ description: "texts that have this token, each one observation" }),
              lift: z
                .number()
                .meta({ description: "use for this token over that for the same texts' tokens" }),
              liftLow: z.number().meta({ description: "lower end of its 95 % interval" }),
              qValue: z.number().meta({ description: "corrected for all types, experts and layers" }),
            }),
          )
          .meta({ description: "token types it serves more often than chance explains, q <= 0.05" }),
      }),
    );
    return z.strictObject({
      textsNeeded: count
        .nullable()
        .meta({ description: "texts in which a token type must occur to be tested; null: none can be" }),
      testedTypes: count,
      experts,
    });
  }),
  words: {
    title: "Token preferences",
    text: "Tokens that an expert serves far more often than others do, and where it took most weight.",
    uncertainty:
      "q-values over all types, experts and layers (Benjamini and Hochberg), a text as one observation; token types that occur in too few texts to show anything are not tested",
    terms: {
      tokenLift: {
        title: "Lift of a token",
        text: "How many times as often the expert serves this token as it serves the other tokens of the same texts, at like positions. Only tokens beyond chance are listed; their order is that of the lower end of the interval, so that a few lucky tokens do not lead it.",
        formula: "Σ part of the text's rows of this token that used it / Σ part of all its rows",
        source:
          "Hoeffding, J. Am. Stat. Assoc. 58, 1963; Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995",
      },
    },
  },
};

function tokensOf({ usage, heaviest }: State, of: Scope): LayerTokens {
  const { types } = of.ahead;
  const pValues: number[] = [];
  const experts = Array.from({ length: of.experts }, (_, expert) => {
    const likely = preferencesOf(usage, types, expert, ALPHA);
    for (const { pValue } of likely) pValues.push(pValue);
    const byLift = contenders(
      likely.map((found) => ({ ...found, strength: found.liftLow })),
      MAX_TOKENS,
    ).map(({ type, ...found }) => ({
      tokenId: types.ids[type]!,
      text: of.tokenText(types.ids[type]!),
      count: usage.counts[type * of.experts + expert]!,
      of: types.rows[type]!,
      texts: types.texts[type]!,
      ...found,
    }));
    const byWeight = heaviestOf(heaviest, expert).map(({ row, weight }) => ({
      ...inContext(of, row),
      weight,
    }));
    return { expert, byWeight, byLift };
  });
  return {
    tests: types.ids.length * of.experts,
    pValues: Float64Array.from(pValues),
    found: { textsNeeded: types.textsNeeded, testedTypes: types.ids.length, experts },
  };
}

/** A row with the text around it, as far as the capture has it without a gap. */
function inContext(of: Scope, row: number): Omit<TokenInContext, "weight"> {
  const { sample, position, tokenId, length } = of.ahead.columns;
  const joins = (a: number, b: number) =>
    a >= 0 && b < length && sample[a] === sample[b] && position[a]! + 1 === position[b];
  let from = row;
  while (row - from < BEFORE && joins(from - 1, from)) from--;
  let to = row + 1;
  while (to - row - 1 < AFTER && joins(to - 1, to)) to++;
  const text = (begin: number, end: number) =>
    Array.from(tokenId.subarray(begin, end), (id) => of.tokenText(id)).join("");
  return {
    sample: sample[row]!,
    position: position[row]!,
    tokenId: tokenId[row]!,
    text: of.tokenText(tokenId[row]!),
    before: text(from, row),
    after: text(row + 1, to),
    label: of.samples[sample[row]!]!.label,
  };
}
