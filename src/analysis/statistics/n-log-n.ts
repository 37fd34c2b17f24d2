/** Numbers kept at most, 8 MB: beyond, few counts recur often enough. */
const MOST = 2 ** 20;

let table = new Float64Array(0);

/**
 * n log2 n of a count, 0 for 0. Permutation tests ask for the same small counts some hundred million times: what was
 * asked once is looked up, and is the same number to the last bit.
 *
 * @param n a whole number from 0.
 */
export function nLogN(n: number): number {
  if (n < table.length) return table[n]!;
  if (n >= MOST) return n * Math.log2(n);
  table = Float64Array.from({ length: Math.min(MOST, 2 ** Math.ceil(Math.log2(n + 2))) }, (_, i) =>
    i === 0 ? 0 : i * Math.log2(i),
  );
  return table[n]!;
}
