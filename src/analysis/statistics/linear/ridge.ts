/**
 * Ridge regression onto one-hot classes, fitted from sums over rows: the features are standardised, and the penalty is
 * `alpha` times the sum of squared coefficients. The class with the greatest value is the prediction. As scikit-learn's
 * `make_pipeline(StandardScaler(), RidgeClassifier(alpha))`.
 *
 * Source: Hoerl and Kennard, Technometrics 12 (1970).
 */
export interface RidgeClassifier {
  /** The class of a row of features. */
  predict(row: Float64Array | Float32Array): number;
}

/** Holds (features + 1)^2 / 2 + features x classes numbers. */
export class RidgeSums {
  readonly #features: number;
  readonly #classes: number;
  #rows = 0;
  readonly #x: Float64Array;
  /** `[features, features]`, lower triangle. */
  readonly #xx: Float64Array;
  /** `[features, classes]`. */
  readonly #xy: Float64Array;
  readonly #y: Float64Array;

  constructor(features: number, classes: number) {
    this.#features = features;
    this.#classes = classes;
    this.#x = new Float64Array(features);
    this.#xx = new Float64Array(features * features);
    this.#xy = new Float64Array(features * classes);
    this.#y = new Float64Array(classes);
  }

  add(row: Float64Array | Float32Array, label: number): void {
    this.#rows++;
    this.#y[label]!++;
    for (let i = 0; i < this.#features; i++) {
      const value = row[i]!;
      this.#x[i]! += value;
      this.#xy[i * this.#classes + label]! += value;
      const base = i * this.#features;
      for (let j = 0; j <= i; j++) this.#xx[base + j]! += value * row[j]!;
    }
  }

  /** Sums of the rows of some. */
  static of(parts: readonly RidgeSums[]): RidgeSums {
    const [first] = parts;
    const all = new RidgeSums(first!.#features, first!.#classes);
    const add = (to: Float64Array, of: Float64Array) => {
      for (let i = 0; i < to.length; i++) to[i]! += of[i]!;
    };
    for (const part of parts) {
      all.#rows += part.#rows;
      add(all.#x, part.#x);
      add(all.#xx, part.#xx);
      add(all.#xy, part.#xy);
      add(all.#y, part.#y);
    }
    return all;
  }

  fit(alpha: number): RidgeClassifier {
    const [n, d, classes] = [this.#rows, this.#features, this.#classes];
    const mean = this.#x.map((sum) => sum / n);
    const scale = mean.map((m, i) => {
      const variance = this.#xx[i * d + i]! / n - m * m;
      // A feature that never changes has no unit, and rounding leaves it a tiny one.
      return variance > 1e-12 * (m * m + 1e-300) ? Math.sqrt(variance) : 1;
    });
    const gram = new Float64Array(d * d);
    for (let i = 0; i < d; i++)
      for (let j = 0; j <= i; j++)
        gram[i * d + j] =
          (this.#xx[i * d + j]! - n * mean[i]! * mean[j]!) / (scale[i]! * scale[j]!) + (i === j ? alpha : 0);
    const share = this.#y.map((count) => count / n);
    const weights = this.#xy.map((sum, at) => {
      const i = Math.floor(at / classes);
      return (sum - n * mean[i]! * share[at % classes]!) / scale[i]!;
    });
    solve(gram, weights, d, classes);
    return {
      predict(row) {
        const values = share.slice();
        for (let i = 0; i < d; i++) {
          const z = (row[i]! - mean[i]!) / scale[i]!;
          for (let c = 0; c < classes; c++) values[c]! += z * weights[i * classes + c]!;
        }
        return values.reduce((best, value, c) => (value > values[best]! ? c : best), 0);
      },
    };
  }
}

/** Solve A X = B in place by Cholesky's decomposition; A `[n, n]` (lower triangle), B `[n, m]`. */
function solve(a: Float64Array, b: Float64Array, n: number, m: number): void {
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= a[i * n + k]! * a[j * n + k]!;
      a[i * n + j] = i === j ? Math.sqrt(sum) : sum / a[j * n + j]!;
    }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) {
      const factor = a[i * n + k]!;
      for (let c = 0; c < m; c++) b[i * m + c]! -= factor * b[k * m + c]!;
    }
    for (let c = 0; c < m; c++) b[i * m + c]! /= a[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) {
      const factor = a[k * n + i]!;
      for (let c = 0; c < m; c++) b[i * m + c]! -= factor * b[k * m + c]!;
    }
    for (let c = 0; c < m; c++) b[i * m + c]! /= a[i * n + i]!;
  }
}
