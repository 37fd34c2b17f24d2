/** How similar the states are that the experts of a layer serve. */
export interface CentroidSimilarity {
  /** `[expert][expert]`: cosine of the experts' mean states, the mean of all rows taken off; 3 digits. */
  readonly similarity: readonly (readonly (number | null)[])[] | null;
  /** Experts whose tokens have the most similar states. */
  readonly mostSimilar: readonly { readonly a: number; readonly b: number; readonly cosine: number }[];
}

const MAX_PAIRS = 20;
/** As for the co-activation: beyond this the whole matrix is left out. */
const MAX_MATRIX = 128;

/** Mean state of the rows that each expert served. */
export class ExpertCentroids {
  readonly #experts: number;
  readonly #width: number;
  readonly #sums: Float64Array;
  readonly #rows: Float64Array;
  readonly #mean: Float64Array;
  #total = 0;

  constructor(experts: number, width: number) {
    this.#experts = experts;
    this.#width = width;
    this.#sums = new Float64Array(experts * width);
    this.#rows = new Float64Array(experts);
    this.#mean = new Float64Array(width);
  }

  add(state: Float32Array, ids: Uint16Array): void {
    this.#total++;
    for (let i = 0; i < state.length; i++) this.#mean[i]! += state[i]!;
    for (const expert of ids) {
      this.#rows[expert]!++;
      const base = expert * this.#width;
      for (let i = 0; i < state.length; i++) this.#sums[base + i]! += state[i]!;
    }
  }

  /** Cosines of the centroids, the mean of all rows taken off: states share one large direction, which says nothing. */
  result(): CentroidSimilarity {
    const [experts, width] = [this.#experts, this.#width];
    const centred = this.#sums.map(
      (sum, at) => sum / this.#rows[Math.floor(at / width)]! - this.#mean[at % width]! / this.#total,
    );
    const dot = (a: number, b: number) => {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += centred[a * width + i]! * centred[b * width + i]!;
      return sum;
    };
    const norm = Array.from({ length: experts }, (_, e) => Math.sqrt(dot(e, e)));
    const cosine = (a: number, b: number) => {
      const value = dot(a, b) / (norm[a]! * norm[b]!);
      // Experts without rows have no centroid.
      return Number.isFinite(value) ? value : null;
    };
    const pairs: { a: number; b: number; cosine: number }[] = [];
    const matrix = Array.from({ length: experts }, () => new Array<number | null>(experts).fill(null));
    for (let a = 0; a < experts; a++)
      for (let b = a; b < experts; b++) {
        const value = cosine(a, b);
        if (value === null) continue;
        matrix[a]![b] = matrix[b]![a] = Number(value.toPrecision(3));
        if (a !== b) pairs.push({ a, b, cosine: value });
      }
    return {
      similarity: experts <= MAX_MATRIX ? matrix : null,
      mostSimilar: pairs.sort((x, y) => y.cosine - x.cosine).slice(0, MAX_PAIRS),
    };
  }
}
