type NumericArray = Float32Array | Float64Array | Int32Array | Uint16Array | Uint8Array;

/** Arrays one behind the other. */
export function concatArrays<A extends NumericArray>(
  ArrayType: new (length: number) => A,
  parts: readonly A[],
): A {
  const out = new ArrayType(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The parts of {@link concatArrays}, as windows. @param lengths of each. */
export function splitArray(values: Int32Array, lengths: ArrayLike<number>): Int32Array[] {
  let end = 0;
  return Array.from(lengths, (length) => {
    end += length;
    return values.subarray(end - length, end);
  });
}
