/**
 * How many of a row's experts another row chose too: |A ∩ B|, whatever their order.
 *
 * @param a chosen experts; those of the row are `a[atA, atA + topK)`.
 */
export function sharedExperts(
  a: ArrayLike<number>,
  atA: number,
  b: ArrayLike<number>,
  atB: number,
  topK: number,
): number {
  let shared = 0;
  // A row has few experts: searching beats any set.
  for (let i = atA; i < atA + topK; i++)
    for (let j = atB; j < atB + topK; j++)
      if (a[i] === b[j]) {
        shared++;
        break;
      }
  return shared;
}
