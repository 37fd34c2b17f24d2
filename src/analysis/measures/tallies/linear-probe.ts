import { largest } from "../../../core/extremes.ts";
import { effectiveInterval } from "../../statistics/cluster-interval.ts";
import { sparseProjection } from "../../statistics/linear/random-projection.ts";
import { RidgeSums } from "../../statistics/linear/ridge.ts";

/** A linear classifier of the best expert, tried on samples that it was not fitted on: each text once. */
export interface LinearProbe {
  /** Part of the rows whose best expert it names, fitted on the texts of the other folds. */
  readonly accuracy: number;
  /**
   * 95 % interval of it on other texts of the kind: the wider of two, one with a text as one observation, one from how
   * the folds differ; see `accuracyInterval`.
   */
  readonly interval: readonly [low: number, high: number];
  /** The same for always naming the most frequent expert. */
  readonly chance: number;
  /** The same for naming the expert that the token's type most often had, whatever the context. */
  readonly tokenAccuracy: number;
  /** Rows that a classifier was fitted on, mean of the folds. */
  readonly fittedRows: number;
  readonly testedRows: number;
  readonly folds: number;
  /** Numbers per state that the classifier saw: random projections beyond 512. */
  readonly dimensions: number;
}

/** Dimensions of the classifier's features: fitting takes time with their square and memory of 2 MB a fold. */
const MAX_DIMENSIONS = 512;
/** Penalty on the squared coefficients of standardised features; scikit-learn's default. */
const ALPHA = 1;

/** Fits linear classifiers of the best expert on states, each on all folds but one, and counts how often they are right on it. */
export class ProbeFit {
  readonly #features: Float64Array;
  readonly #project: (state: Float32Array, out: Float64Array) => void;
  readonly #folds: readonly Fold[];
  /** Features of the rows so far: 40 MB of the 20 000 rows that are looked at. */
  readonly #kept: Float32Array[] = [];
  readonly #rows: Row[] = [];
  readonly #experts: number;

  constructor(width: number, experts: number, folds: number, seed: number) {
    const dimensions = Math.min(MAX_DIMENSIONS, width);
    this.#experts = experts;
    this.#features = new Float64Array(dimensions);
    this.#project =
      width > dimensions ? sparseProjection(width, dimensions, seed) : (state, out) => out.set(state);
    this.#folds = Array.from({ length: folds }, () => ({
      sums: new RidgeSums(dimensions, experts),
      rows: new Float64Array(experts),
      byToken: new Map(),
    }));
  }

  /** @param fold of the row's text. */
  add(state: Float32Array, expert: number, token: number, text: number, fold: number): void {
    this.#project(state, this.#features);
    const { sums, rows, byToken } = this.#folds[fold]!;
    sums.add(this.#features, expert);
    rows[expert]!++;
    const of = byToken.get(token) ?? new Map<number, number>();
    byToken.set(token, of.set(expert, (of.get(expert) ?? 0) + 1));
    this.#kept.push(Float32Array.from(this.#features));
    this.#rows.push({ expert, token, text, fold });
  }

  /** `null` where fewer than two folds have rows. */
  result(): LinearProbe | null {
    const having = [...new Set(this.#rows.map(({ fold }) => fold))];
    if (having.length < 2) return null;
    const right = { probe: 0, chance: 0, token: 0 };
    const texts = new Map<number, Counted>();
    const folds: Counted[] = [];
    for (const fold of having) {
      const predict = this.#fitWithout(fold);
      const ofFold = { rows: 0, right: 0 };
      this.#rows.forEach((row, i) => {
        if (row.fold !== fold) return;
        const { probe, chance, token } = predict(this.#kept[i]!, row.token);
        const ofText = texts.get(row.text) ?? { rows: 0, right: 0 };
        texts.set(row.text, ofText);
        for (const counted of [ofText, ofFold]) {
          counted.rows++;
          if (probe === row.expert) counted.right++;
        }
        if (probe === row.expert) right.probe++;
        if (chance === row.expert) right.chance++;
        if (token === row.expert) right.token++;
      });
      folds.push(ofFold);
    }
    const rows = this.#rows.length;
    return {
      accuracy: right.probe / rows,
      interval: accuracyInterval(right.probe / rows, rows, [...texts.values()], folds),
      chance: right.chance / rows,
      tokenAccuracy: right.token / rows,
      fittedRows: Math.round((rows * (having.length - 1)) / having.length),
      testedRows: rows,
      folds: having.length,
      dimensions: this.#features.length,
    };
  }

  #fitWithout(fold: number) {
    const others = this.#folds.filter((_, other) => other !== fold);
    const classifier = RidgeSums.of(others.map(({ sums }) => sums)).fit(ALPHA);
    const rows = new Float64Array(this.#experts);
    const byToken = new Map<number, Map<number, number>>();
    for (const other of others) {
      other.rows.forEach((n, expert) => {
        rows[expert]! += n;
      });
      for (const [token, counts] of other.byToken) {
        const of = byToken.get(token) ?? new Map<number, number>();
        byToken.set(token, of);
        for (const [expert, n] of counts) of.set(expert, (of.get(expert) ?? 0) + n);
      }
    }
    const common = rows.indexOf(largest(rows));
    const ofToken = new Map([...byToken].map(([token, counts]) => [token, mostFrequent(counts)]));
    return (features: Float32Array, token: number) => ({
      probe: classifier.predict(features),
      chance: common,
      token: ofToken.get(token) ?? common,
    });
  }
}

interface Fold {
  readonly sums: RidgeSums;
  /** Rows of each expert. */
  readonly rows: Float64Array;
  /** By token id, how often each expert was its best. */
  readonly byToken: Map<number, Map<number, number>>;
}

interface Row {
  readonly expert: number;
  readonly token: number;
  readonly text: number;
  readonly fold: number;
}

interface Counted {
  rows: number;
  right: number;
}

/**
 * The wider of two intervals. One takes a text as one observation; it knows nothing of what other texts to fit on would
 * change. The other is from how the folds differ: classifiers share most of what they are fitted on, so the variance of
 * their mean is S² (1 / k + tested / fitted) of k folds instead of S² / k, with Student's t of k - 1.
 *
 * Source of the correction: Nadeau and Bengio, Machine Learning 52 (2003), equation 9.
 */
export function accuracyInterval(
  accuracy: number,
  rows: number,
  texts: readonly Counted[],
  folds: readonly Counted[],
): [low: number, high: number] {
  const squares = (of: readonly Counted[]) =>
    of.reduce((sum, { right, rows: n }) => sum + (right - accuracy * n) ** 2, 0);
  const k = folds.length;
  // S² / k is what squares over folds give; 1 / (k - 1) of the rows is tested to those fitted on.
  const corrected = squares(folds) * (1 + k / (k - 1));
  const [byText, byFold] = [
    effectiveInterval(accuracy, rows, texts.length, texts.length, squares(texts), 0.95),
    effectiveInterval(accuracy, rows, texts.length, k, corrected, 0.95),
  ];
  return [Math.min(byText[0], byFold[0]), Math.max(byText[1], byFold[1])];
}

/** The lowest of those that are most frequent. */
const mostFrequent = (counts: ReadonlyMap<number, number>): number =>
  [...counts].reduce((best, of) =>
    of[1] > best[1] || (of[1] === best[1] && of[0] < best[0]) ? of : best,
  )[0];
