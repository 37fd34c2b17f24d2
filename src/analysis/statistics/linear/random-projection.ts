import { seededRandom } from "../randomization/random.ts";

/**
 * A linear map from many numbers to fewer that keeps distances nearly as they are: every output adds and subtracts a
 * random few of the inputs.
 *
 * Source: Li, Hastie, Church, "Very sparse random projections" (KDD 2006), with 1 in sqrt(inputs) entries not 0.
 */
export function sparseProjection(
  inputs: number,
  outputs: number,
  seed: number,
): (row: Float32Array, out: Float64Array) => void {
  const random = seededRandom(seed);
  const density = 1 / Math.sqrt(inputs);
  const scale = 1 / Math.sqrt(density * outputs);
  const places: number[] = [];
  const signs: number[] = [];
  const ends = Uint32Array.from({ length: outputs }, () => {
    for (let i = 0; i < inputs; i++)
      if (random() < density) {
        places.push(i);
        signs.push(random() < 0.5 ? -scale : scale);
      }
    return places.length;
  });
  const place = Uint32Array.from(places);
  const sign = Float64Array.from(signs);
  return (row, out) => {
    let at = 0;
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (; at < ends[o]!; at++) sum += sign[at]! * row[place[at]!]!;
      out[o] = sum;
    }
  };
}
