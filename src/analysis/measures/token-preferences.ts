import { schema } from "../../core/schema.ts";
import type { RowColumns } from "../rows/row-columns.ts";
import { type TokenTypes, tokenTypes } from "../rows/token-types.ts";
import { wilsonInterval } from "../statistics/wilson.ts";
import type { LayerMeasure, LayerScope, Tally } from "./measure.ts";

/** What tokens and contexts an expert serves. */
export interface TokenPreferences {
  readonly expert: number;
  /** Token types to which it gives most weight, each where that weight is greatest. Empty without weights. */
  readonly byWeight: readonly TokenInContext[];
  /** Token types it serves far more often than other tokens. */
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
  /** Rows of this token that used the expert, of so many rows of this token. */
  readonly count: number;
  readonly of: number;
  /** P(expert | token) / P(expert). */
  readonly lift: number;
  /** The same from the lower end of P(expert | token)'s 95 % Wilson interval: what the list is ordered by. */
  readonly liftLow: number;
}

/** Tokens listed for an expert, by weight and by lift. */
const MAX_TOKENS = 10;
/** Tokens of context before and after. */
const BEFORE = 8;
const AFTER = 4;
const NONE = -1;

interface Ahead {
  readonly types: TokenTypes;
  readonly columns: RowColumns;
}

/** Some rows per expert and a count per expert and frequent token type, whatever the number of rows. */
interface State {
  /** `[types, experts]`. */
  readonly counts: Uint32Array;
  readonly used: Float64Array;
  /** `[experts, MAX_TOKENS]`, unordered: the row and weight of each token held. */
  readonly rows: Int32Array;
  readonly weights: Float32Array;
  /** Least weight held by each expert; what does not exceed it is no candidate. */
  readonly least: Float32Array;
}

type Scope = LayerScope<Ahead>;

const tokensOfExperts: Tally<State, Ahead, State> = {
  needs: ["chosen"],
  prepare: (columns) => ({ types: tokenTypes(columns), columns }),
  start: ({ ahead: { types }, experts }) => ({
    counts: new Uint32Array(types.ids.length * experts),
    used: new Float64Array(experts),
    rows: new Int32Array(experts * MAX_TOKENS).fill(NONE),
    weights: new Float32Array(experts * MAX_TOKENS).fill(-Infinity),
    least: new Float32Array(experts).fill(-Infinity),
  }),
  take(state, { from, rows, ids, weights, topK }, { ahead: { types, columns }, experts }) {
    const { counts, used, least } = state;
    for (let row = 0; row < rows; row++) {
      const type = types.ofRow[from + row]!;
      for (let i = row * topK; i < (row + 1) * topK; i++) {
        const expert = ids[i]!;
        used[expert]!++;
        if (type >= 0) counts[type * experts + expert]!++;
        if (weights && weights[i]! > least[expert]!)
          hold(state, columns.tokenId, expert, from + row, weights[i]!);
      }
    }
  },
};

/** A type takes one place, with its greatest weight; a new one takes the place of the lightest. */
function hold(state: State, tokenId: Int32Array, expert: number, row: number, weight: number): void {
  const { rows, weights } = state;
  const at = expert * MAX_TOKENS;
  let place = at;
  for (let i = at; i < at + MAX_TOKENS; i++) {
    if (rows[i] !== NONE && tokenId[rows[i]!] === tokenId[row]) {
      place = i;
      break;
    }
    if (weights[i]! < weights[place]!) place = i;
  }
  if (weight <= weights[place]!) return;
  rows[place] = row;
  weights[place] = weight;
  let least = Infinity;
  for (let i = at; i < at + MAX_TOKENS; i++) least = Math.min(least, weights[i]!);
  state.least[expert] = least;
}

/** Which tokens each expert of a layer serves, in order of expert. */
export const tokenPreferences: LayerMeasure<
  "tokenPreferences",
  readonly TokenPreferences[],
  State,
  TokenPreferences[],
  Ahead
> = {
  name: "tokenPreferences",
  scope: "layer",
  cost: "count",
  keeps: tokensOfExperts,
  layer: (state, of) =>
    Array.from({ length: of.experts }, (_, expert) => ({
      expert,
      byWeight: byWeight(state, expert, of),
      byLift: byLift(state, expert, of),
    })),
  overview: () => null,
  schema: schema((z) => {
    const count = z.int().nonnegative();
    return z.array(
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
              lift: z.number().meta({ description: "P(expert | token) / P(expert)" }),
              liftLow: z.number().meta({ description: "from the lower end of the 95 % Wilson interval" }),
            }),
          )
          .meta({ description: "token types it serves far more often than others" }),
      }),
    );
  }),
  words: {
    title: "Token preferences",
    text: "Tokens that an expert serves far more often than others do, and where it took most weight.",
    uncertainty:
      "the lift at the lower end of the 95 % Wilson interval of P(expert | token); not corrected for the number of tokens",
    terms: {
      tokenLift: {
        title: "Lift of a token",
        text: "How many times as often the expert serves this token as it serves any token. The list is ordered by the lower end of its interval, so that a few lucky tokens do not lead it.",
        formula: "P(expert | token) / P(expert)",
      },
    },
  },
};

function byWeight({ rows, weights }: State, expert: number, of: Scope): TokenInContext[] {
  const held = Array.from({ length: MAX_TOKENS }, (_, i) => expert * MAX_TOKENS + i);
  return held
    .filter((i) => rows[i] !== NONE)
    .sort((a, b) => weights[b]! - weights[a]! || rows[a]! - rows[b]!)
    .map((i) => ({ ...inContext(of, rows[i]!), weight: weights[i]! }));
}

function byLift({ counts, used }: State, expert: number, of: Scope): TokenPreference[] {
  const { types, columns } = of.ahead;
  const overall = used[expert]! / columns.length;
  if (overall === 0) return [];
  const found: TokenPreference[] = [];
  types.ids.forEach((tokenId, type) => {
    const count = counts[type * of.experts + expert]!;
    const rows = types.rows[type]!;
    const [low] = wilsonInterval(count, rows, 0.95);
    if (low > overall)
      found.push({
        tokenId,
        text: of.tokenText(tokenId),
        count,
        of: rows,
        lift: count / rows / overall,
        liftLow: low / overall,
      });
  });
  return found.sort((a, b) => b.liftLow - a.liftLow || a.tokenId - b.tokenId).slice(0, MAX_TOKENS);
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
