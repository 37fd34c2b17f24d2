import { schema } from "../../core/schema.ts";
import { addItem, candidates, type FrequentItems, startItems } from "../statistics/frequent-items.ts";
import type { GroupMeasure, GroupRows } from "./measure.ts";

/** Sequences of best experts through some neighbouring layers. */
export interface RoutingPaths {
  readonly layers: readonly number[];
  readonly rows: number;
  /** The most frequent, most first. */
  readonly top: readonly {
    readonly experts: readonly number[];
    readonly count: number;
    readonly share: number;
    /** {@link share} over the product of each expert's own share: how much more than independent layers give. */
    readonly lift: number;
    /** The tokens that took it most often. */
    readonly tokens: readonly { readonly text: string; readonly count: number }[];
  }[];
}

/** Layers of a path: through more, hardly two tokens of a large model take the same. */
const MAX_LAYERS = 6;
const MAX_PATHS = 20;
/** Tokens named for a path. */
const MAX_TOKENS = 3;
/** Paths counted at a time, about 4 MB: all that more than one row in 65 537 takes. */
const CAPACITY = 0x10000;

interface State {
  readonly layers: readonly number[];
  rows: number;
  frequent: FrequentItems;
  /** Exact counts of the candidates. */
  counts: Map<number, number>;
  /** By layer of the group, rows by best expert. */
  readonly used: readonly Float64Array[];
  /** Of the most frequent paths: rows by token id. */
  tokens: Map<number, Map<number, number>>;
}

/** The most frequent sequences of best experts; candidates, their exact counts and their tokens take a pass each. */
export const paths: GroupMeasure<"paths", readonly RoutingPaths[], State, RoutingPaths> = {
  name: "paths",
  scope: "layers",
  cost: "count",
  keeps: "best",
  passes: 3,
  groups: segments,
  start: ({ experts }, layers) => ({
    layers,
    rows: 0,
    frequent: startItems(),
    counts: new Map(),
    used: layers.map(() => new Float64Array(experts)),
    tokens: new Map(),
  }),

  take(state, rows, { experts }, pass) {
    const paths = pathsOf(rows, experts);
    if (pass === 0) {
      state.rows += rows.rows;
      for (const path of paths) addItem(state.frequent, path, CAPACITY);
    } else if (pass === 1) {
      const { counts, used } = state;
      for (const path of paths) {
        const count = counts.get(path);
        if (count !== undefined) counts.set(path, count + 1);
        let rest = path;
        for (const ofLayer of used) {
          const next = Math.floor(rest / experts);
          ofLayer[rest - next * experts]!++;
          rest = next;
        }
      }
    } else
      paths.forEach((path, row) => {
        const of = state.tokens.get(path);
        const token = rows.tokenId[row]!;
        of?.set(token, (of.get(token) ?? 0) + 1);
      });
  },

  next(state, _, pass) {
    if (pass === 1) {
      state.counts = new Map(candidates(state.frequent).map((path) => [path, 0]));
      state.frequent = startItems();
    } else state.tokens = new Map(mostFrequent(state).map(([path]) => [path, new Map()]));
  },

  group(state, { experts, tokenText }) {
    const { layers, rows, used, tokens } = state;
    return {
      layers,
      rows,
      top: mostFrequent(state).map(([path, count]) => {
        const taken = expertsOf(path, layers.length, experts);
        const independent = taken.reduce((product, expert, i) => (product * used[i]![expert]!) / rows, 1);
        return {
          experts: taken,
          count,
          share: count / rows,
          lift: count / rows / independent,
          tokens: [...tokens.get(path)!]
            .sort(([a, n], [b, m]) => m - n || a - b)
            .slice(0, MAX_TOKENS)
            .map(([id, n]) => ({ text: tokenText(id), count: n })),
        };
      }),
    };
  },

  gather: (parts) => parts,
  schema: schema((z) => {
    const count = z.int().nonnegative();
    return z.array(
      z.strictObject({
        layers: z.array(count),
        rows: count,
        top: z.array(
          z.strictObject({
            experts: z.array(count).meta({ description: "the best expert of each layer" }),
            count,
            share: z.number(),
            lift: z.number().meta({ description: "share / what independent layers give" }),
            tokens: z.array(z.strictObject({ text: z.string(), count })),
          }),
        ),
      }),
    );
  }),
  words: {
    title: "Paths",
    text: "The sequences of best experts through neighbouring layers that most tokens take.",
    uncertainty: "none",
    terms: {
      path: {
        title: "Path",
        text: "The best experts of some neighbouring layers for one token. Lift: how many times as many tokens take it as would if layers were independent.",
        formula: "share of the path / product of its experts' shares",
      },
    },
  },
};

/** Neighbouring layers in pieces of about equal length, as paths are followed through them. */
function segments(layers: readonly number[], experts: number): number[][] {
  // A path is one whole number to the base of the experts, and must stay exact.
  const most = Math.min(MAX_LAYERS, Math.floor(53 / Math.max(1, Math.log2(experts))));
  const pieces = Math.ceil(layers.length / most);
  return Array.from({ length: pieces }, (_, i) =>
    layers.slice(Math.round((i * layers.length) / pieces), Math.round(((i + 1) * layers.length) / pieces)),
  ).filter(({ length }) => length > 1);
}

/** Each row's best experts as one number, the first layer's in the lowest place. */
function pathsOf({ rows, experts: best }: GroupRows, experts: number): Float64Array {
  const paths = new Float64Array(rows);
  best.forEach((ids, place) => {
    const unit = experts ** place;
    for (let row = 0; row < rows; row++) paths[row]! += ids[row]! * unit;
  });
  return paths;
}

const mostFrequent = ({ counts }: State) =>
  [...counts].sort(([a, n], [b, m]) => m - n || a - b).slice(0, MAX_PATHS);

function expertsOf(path: number, layers: number, experts: number): number[] {
  const taken: number[] = [];
  for (let i = 0; i < layers; i++) {
    taken.push(path % experts);
    path = Math.floor(path / experts);
  }
  return taken;
}
