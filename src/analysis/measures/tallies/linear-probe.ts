import { largest } from "../../../core/extremes.ts";
import { effectiveInterval } from "../../statistics/cluster-interval.ts";
import { sparseProjection } from "../../statistics/linear/random-projection.ts";
import { RidgeSums } from "../../statistics/linear/ridge.ts";

/** A linear classifier of the best expert, tried on samples that it was not fitted on. */
export interface LinearProbe {
  /** Part of the held-out rows whose best expert it names. */
  readonly accuracy: number;
  /** 95 % interval of it on other texts of the kind, a held-out text as one observation. */
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

/** Dimensions of the classifier's features: fitting takes time with their square and memory of 2 MB. */
const MAX_DIMENSIONS = 512;
/** Penalty on the squared coefficients of standardised features; scikit-learn's default. */
const ALPHA = 1;

/** Fits a linear classifier of the best expert on states, and counts how often it is right on others. */
export class ProbeFit {
  readonly #features: Float64Array;
  readonly #project: (state: Float32Array, out: Float64Array) => void;
  readonly #sums: RidgeSums;
  /** Rows of each expert. */
  readonly #rows: Float64Array;
  /** By token id, how often each expert was its best. */
  readonly #byToken = new Map<number, Map<number, number>>();

  constructor(width: number, experts: number, seed: number) {
    const dimensions = Math.min(MAX_DIMENSIONS, width);
    this.#features = new Float64Array(dimensions);
    this.#project =
      width > dimensions ? sparseProjection(width, dimensions, seed) : (state, out) => out.set(state);
    this.#sums = new RidgeSums(dimensions, experts);
    this.#rows = new Float64Array(experts);
  }

  fitOn(state: Float32Array, expert: number, token: number): void {
    this.#project(state, this.#features);
    this.#sums.add(this.#features, expert);
    this.#rows[expert]!++;
    const of = this.#byToken.get(token) ?? new Map<number, number>();
    this.#byToken.set(token, of.set(expert, (of.get(expert) ?? 0) + 1));
  }

  /** Fit on the rows so far; what comes back counts on held-out ones. */
  fit(): {
    add(state: Float32Array, expert: number, token: number, text: number): void;
    result(): LinearProbe;
  } {
    const classifier = this.#sums.fit(ALPHA);
    const common = this.#rows.indexOf(largest(this.#rows));
    const ofToken = new Map([...this.#byToken].map(([token, counts]) => [token, mostFrequent(counts)]));
    const right = { probe: 0, chance: 0, token: 0 };
    const texts = new Map<number, { rows: number; right: number }>();
    let rows = 0;
    return {
      add: (state, expert, token, text) => {
        this.#project(state, this.#features);
        const of = texts.get(text) ?? { rows: 0, right: 0 };
        texts.set(text, of);
        rows++;
        of.rows++;
        if (classifier.predict(this.#features) === expert) {
          right.probe++;
          of.right++;
        }
        if (common === expert) right.chance++;
        if ((ofToken.get(token) ?? common) === expert) right.token++;
      },
      result: () => ({
        accuracy: right.probe / rows,
        interval: accuracyInterval(right.probe / rows, rows, [...texts.values()]),
        chance: right.chance / rows,
        tokenAccuracy: right.token / rows,
        fittedRows: this.#rows.reduce((sum, n) => sum + n, 0),
        testedRows: rows,
        dimensions: this.#features.length,
      }),
    };
  }
}

function accuracyInterval(accuracy: number, rows: number, texts: readonly { rows: number; right: number }[]) {
  const squares = texts.reduce((sum, of) => sum + (of.right - accuracy * of.rows) ** 2, 0);
  return effectiveInterval(accuracy, rows, texts.length, texts.length, squares, 0.95);
}

/** The lowest of those that are most frequent. */
const mostFrequent = (counts: ReadonlyMap<number, number>): number =>
  [...counts].reduce((best, of) =>
    of[1] > best[1] || (of[1] === best[1] && of[0] < best[0]) ? of : best,
  )[0];
