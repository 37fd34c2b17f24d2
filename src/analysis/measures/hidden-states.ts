import { isFiniteRow } from "../../core/finite-rows.ts";
import { schema } from "../../core/schema.ts";
import { unknownExpert } from "../rows/known-runs.ts";
import { type SampleSpan, sampleSpans, someSpans } from "../rows/sample-spans.ts";
import { addSpanIds, type SpanIds, startSpanIds } from "../rows/span-ids.ts";
import type { StreamReader } from "../rows/stream-reader.ts";
import { seededRandom, shuffle } from "../statistics/randomization/random.ts";
import type { LayerMeasure, LayerScope, Tally } from "./measure.ts";
import { type CentroidSimilarity, ExpertCentroids } from "./tallies/expert-centroids.ts";
import { type LinearProbe, ProbeFit } from "./tallies/linear-probe.ts";

/** How a layer's choice relates to the hidden state of the layer before it. */
export interface HiddenStates extends CentroidSimilarity {
  /** The layer whose output is used: the one before. The router itself reads it after this layer's attention. */
  readonly stateOf: number;
  /** Rows that are left out, because a number of the state, or a weight that tells the best expert, is not finite. */
  readonly notFinite: number;
  /** `null` with too few samples to hold some out. */
  readonly probe: LinearProbe | null;
}

/** Rows looked at: the classifier's accuracy changes little beyond, and its time grows with rows x dimensions^2. */
const MAX_ROWS = 20_000;
/** Parts that the samples are put into; each is held out once. More cost a fit each. */
const FOLDS = 5;
/** With fewer samples a held-out part tells nothing of other texts. */
const MIN_SAMPLES = 8;
/** Values of hidden states read at a time: 8 MB. */
const READ_VALUES = 2 ** 21;

interface Ahead {
  /** Samples spread over the capture with at most {@link MAX_ROWS} rows. */
  readonly spans: readonly SampleSpan[];
  readonly tokenId: Int32Array;
}

/** Keeps the ids of the rows that are looked at; their states are read when the pass is done. */
const states: Tally<SpanIds, Ahead, HiddenStates> = {
  needs: ["chosen", { layerBefore: "hidden_states" }],
  prepare: (columns) => ({ spans: someSpans(sampleSpans(columns), MAX_ROWS), tokenId: columns.tokenId }),
  start: ({ ahead }) => startSpanIds(ahead.spans),
  take: (state, chunk, { ahead }) => addSpanIds(state, ahead.spans, chunk),

  find(kept, of, reader) {
    const stateOf = of.layer - 1;
    const { spans, tokenId } = of.ahead;
    const places = spans.map((_, place) => place);
    const width = reader.width("hidden_states", stateOf);
    const centroids = new ExpertCentroids(of.experts, width);
    let notFinite = 0;
    const forEach = (some: readonly number[], visit: Visitor) =>
      forEachState(reader, stateOf, kept, of, some, (state, ids, row, text) => {
        if (ids[0] === unknownExpert(ids) || !isFiniteRow(state, 0, state.length)) notFinite++;
        else visit(state, ids, row, text);
      });
    if (spans.length < MIN_SAMPLES) {
      forEach(places, (state, ids) => centroids.add(state, ids));
      return { stateOf, notFinite, probe: null, ...centroids.result() };
    }
    const foldOf = folds(places.length, of.settings.seed);
    const probe = new ProbeFit(width, of.experts, FOLDS, of.settings.seed);
    forEach(places, (state, ids, row, text) => {
      centroids.add(state, ids);
      probe.add(state, ids[0]!, tokenId[row]!, text, foldOf[text]!);
    });
    return { stateOf, notFinite, probe: probe.result(), ...centroids.result() };
  },
};

/** How much of the choice can be read from the hidden state of the layer before; nothing where it was not captured. */
export const hiddenStates: LayerMeasure<"hiddenStates", HiddenStates | null, HiddenStates, HiddenStates> = {
  name: "hiddenStates",
  scope: "layer",
  cost: "read",
  keeps: states,
  layer: (found) => found,
  schema: schema((z) => {
    const count = z.int().nonnegative();
    const found = z.strictObject({
      stateOf: count.meta({ description: "the layer whose output is used" }),
      notFinite: count.meta({ description: "rows left out: the state or a weight is not finite" }),
      probe: z
        .strictObject({
          accuracy: z.number().meta({ description: "part of the held-out rows whose best expert it names" }),
          interval: z
            .tuple([z.number(), z.number()])
            .meta({ description: "95 % interval, the wider of that of texts and of that of folds" }),
          chance: z.number().meta({ description: "the same for the most frequent expert" }),
          tokenAccuracy: z
            .number()
            .meta({ description: "the same for the token type's most frequent expert" }),
          fittedRows: count,
          testedRows: count,
          folds: count.meta({ description: "parts of the texts, each held out once" }),
          dimensions: count,
        })
        .nullable(),
      similarity: z
        .array(z.array(z.number().nullable()))
        .nullable()
        .meta({ description: "[expert][expert]: cosine of mean states, 3 digits" }),
      mostSimilar: z.array(z.strictObject({ a: count, b: count, cosine: z.number() })),
    });
    return found.nullable();
  }),
  words: {
    title: "Hidden states",
    text: "How much of a layer's choice can be read from the hidden state of the layer before.",
    uncertainty:
      "95 % interval of the accuracy: the wider of that with a text as one observation and that of how the folds differ (Nadeau and Bengio 2003)",
    terms: {
      probe: {
        title: "Linear probe",
        text: "Part of the tokens whose best expert a linear classifier names from the hidden state; each text is scored by one that was fitted on others.",
        formula: "ridge classifier on standardised states",
        source: "Alain and Bengio, arXiv:1610.01644",
      },
      centroids: {
        title: "Similarity of states",
        text: "Cosine of the mean states of the tokens that two experts serve, the mean of all tokens taken off.",
      },
    },
  },
};

/** By sample the part it is in, at random and the same for the same seed. */
function folds(samples: number, seed: number): Int32Array {
  const order = Int32Array.from({ length: samples }, (_, place) => place % FOLDS);
  shuffle(order, seededRandom(seed));
  return order;
}

type Visitor = (state: Float32Array, ids: Uint16Array, row: number, text: number) => void;

/** @param places of the spans to visit. */
function forEachState(
  reader: StreamReader,
  stateOf: number,
  { offsets, ids, topK }: SpanIds,
  { ahead: { spans } }: LayerScope<Ahead>,
  places: readonly number[],
  visit: Visitor,
): void {
  const width = reader.width("hidden_states", stateOf);
  const step = Math.max(1, Math.floor(READ_VALUES / width));
  for (const place of places) {
    const span = spans[place]!;
    for (let from = span.from; from < span.to; from += step) {
      const to = Math.min(span.to, from + step);
      const data = reader.read("hidden_states", stateOf, from, to);
      for (let row = from; row < to; row++) {
        const at = offsets[place]! + row - span.from;
        visit(
          data.subarray((row - from) * width, (row - from + 1) * width),
          ids.subarray(at * topK, (at + 1) * topK),
          row,
          place,
        );
      }
    }
  }
}
