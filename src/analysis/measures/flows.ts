import { schema } from "../../core/schema.ts";
import { tableInformation } from "../statistics/table-information.ts";
import type { StreamGroupMeasure } from "./measure.ts";
import { amounts, wholeNumber } from "./tallies/state-json.ts";

/** How the experts of a layer follow from those of one before it. */
export interface LayerFlow {
  readonly from: number;
  readonly to: number;
  readonly rows: number;
  /**
   * Mutual information of the two layers' best experts, bits, adjusted for chance; `null` with too few rows to tell it
   * from chance. See `tableInformation`.
   */
  readonly information: number | null;
  /** Entropy of the later layer's best expert, bits: the most that {@link information} can be. */
  readonly entropy: number;
  /** Pairs of experts that follow each other most beyond independence, those that add most to the information first. */
  readonly edges: readonly FlowEdge[];
}

/** A step of the way through the layers: expert `a` of one layer, then expert `b` of the next that has a router. */
export interface FlowEdge {
  readonly a: number;
  readonly b: number;
  /** Rows that used expert a in the layer `from` and expert b in the layer `to`. */
  readonly count: number;
  /** P(b | a), over all chosen experts. */
  readonly probability: number;
  /** P(b | a) / P(b). */
  readonly lift: number;
}

/** Edges listed for a pair of layers. */
const MAX_EDGES = 40;
/** Edges that independent layers would have fewer rows of are not ranked; Cochran's rule (Biometrics 10, 1954). */
const MIN_EXPECTED = 5;

/** ... and in a summary. */
const FIRST_EDGES = 3;

const layerFlow = schema((z) => {
  const count = z.int().nonnegative();
  return z.strictObject({
    from: count,
    to: count,
    rows: count,
    information: z
      .number()
      .nullable()
      .meta({ description: "mutual information of the best experts, bits; null with too few rows" }),
    entropy: z.number().meta({ description: "of the later layer's best expert, bits" }),
    edges: z.array(
      z.strictObject({
        a: count,
        b: count,
        count,
        probability: z.number().meta({ description: "P(b | a)" }),
        lift: z.number().meta({ description: "P(b | a) / P(b)" }),
      }),
    ),
  });
});

/** Two numbers per pair of experts. */
interface State {
  readonly group: readonly number[];
  rows: number;
  /** `[experts, experts]`: rows by best expert of both layers. */
  readonly best: Uint32Array;
  /** The same by every chosen expert: a row adds to topK x topK pairs. */
  readonly all: Uint32Array;
  readonly usedA: Float64Array;
  readonly usedB: Float64Array;
}

/** From each scanned layer to the next one: which pairs of experts serve the same tokens. */
export const flows: StreamGroupMeasure<"flows", readonly LayerFlow[], State, LayerFlow> = {
  name: "flows",
  scope: "layers",
  cost: "count",
  keeps: "chosen",
  passes: 1,
  groups: (layers) => layers.slice(1).map((to, i) => [layers[i]!, to]),
  start: ({ experts }, group) => ({
    group,
    rows: 0,
    best: new Uint32Array(experts * experts),
    all: new Uint32Array(experts * experts),
    usedA: new Float64Array(experts),
    usedB: new Float64Array(experts),
  }),
  take(state, { rows, perRow, experts: [a, b] }, { experts }) {
    countPairs(state, a!, b!, rows, perRow, experts);
  },
  group({ group, rows, best, all, usedA, usedB }, { experts }) {
    const [from, to] = group as [number, number];
    return { from, to, rows, ...tableInformation(best, experts), edges: edgesOf(all, usedA, usedB, rows) };
  },
  gather: (parts) => parts,
  merge(a, b) {
    const sum = <A extends Uint32Array | Float64Array>(x: A, y: A) => x.map((n, i) => n + y[i]!) as A;
    return {
      group: a.group,
      rows: a.rows + b.rows,
      best: sum(a.best, b.best),
      all: sum(a.all, b.all),
      usedA: sum(a.usedA, b.usedA),
      usedB: sum(a.usedB, b.usedB),
    };
  },
  toJson: ({ rows, best, all, usedA, usedB }) => ({
    rows,
    best: [...best],
    all: [...all],
    usedA: [...usedA],
    usedB: [...usedB],
  }),
  fromJson: ({ experts }, group) =>
    schema((z) => {
      const counts = z
        .array(wholeNumber())
        .length(experts * experts)
        .transform((values) => Uint32Array.from(values));
      return z
        .object({
          rows: wholeNumber(),
          best: counts,
          all: counts,
          usedA: amounts(experts),
          usedB: amounts(experts),
        })
        .transform((state) => ({ ...state, group }));
    })(),
  summary: {
    of: (found) => found.map(({ edges, ...of }) => ({ ...of, edges: edges.slice(0, FIRST_EDGES) })),
    schema: schema((z) => z.array(layerFlow())),
  },
  schema: schema((z) => z.array(layerFlow())),
  words: {
    title: "From layer to layer",
    text: "How much a layer's best expert tells of the next layer's, and which experts follow which.",
    uncertainty:
      "information is adjusted for chance, and left out where chance gives more than half of what there is to tell; edges with fewer than 5 expected tokens are not ranked",
    terms: {
      flow: {
        title: "Flow",
        text: "How often a token that used one expert goes on to another in the next MoE layer, against chance.",
        formula: "P(a in this layer and b in the next) / (P(a) P(b))",
      },
    },
  },
};

function countPairs(
  state: State,
  a: Uint8Array | Uint16Array,
  b: Uint8Array | Uint16Array,
  rows: number,
  topK: number,
  experts: number,
): void {
  const { best, all, usedA, usedB } = state;
  state.rows += rows;
  for (let row = 0; row < rows; row++) {
    const at = row * topK;
    best[a[at]! * experts + b[at]!]!++;
    for (let i = at; i < at + topK; i++) {
      usedA[a[i]!]!++;
      usedB[b[i]!]!++;
      for (let j = at; j < at + topK; j++) all[a[i]! * experts + b[j]!]!++;
    }
  }
}

/** The pairs above independence, by what they add to the mutual information: frequent and unlikely ones first. */
function edgesOf(table: Uint32Array, usedA: Float64Array, usedB: Float64Array, rows: number): FlowEdge[] {
  const experts = usedA.length;
  const edges: FlowEdge[] = [];
  for (let a = 0; a < experts; a++)
    for (let b = 0; b < experts; b++) {
      const count = table[a * experts + b]!;
      const expected = (usedA[a]! * usedB[b]!) / rows;
      if (expected >= MIN_EXPECTED && count > expected)
        edges.push({ a, b, count, probability: count / usedA[a]!, lift: count / expected });
    }
  const contribution = ({ count, lift }: FlowEdge) => count * Math.log(lift);
  return edges.sort((x, y) => contribution(y) - contribution(x)).slice(0, MAX_EDGES);
}
