/**
 * The 16-bit float formats of a capture folder: IEEE 754 binary16 (`float16`) and the upper half of binary32
 * (`bfloat16`). Both ways keep infinities, signed zeros and NaN; narrowing rounds to nearest, ties to even, as numpy
 * and torch do.
 */

/** float32 -> bfloat16 bits. */
export function toBfloat16(values: Float32Array, out: Uint16Array): void {
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) {
    const b = bits[i]!;
    // Rounding would carry a NaN whose payload is all ones over into an infinity or a zero.
    out[i] = (b & 0x7fffffff) > 0x7f800000 ? (b >>> 16) | 0x40 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
  }
}

/** bfloat16 bits -> float32, exact. */
export function fromBfloat16(values: Uint16Array): Float32Array {
  const out = new Float32Array(values.length);
  const bits = bitsOf(out);
  for (let i = 0; i < values.length; i++) bits[i] = values[i]! << 16;
  return out;
}

/**
 * float32 -> float16 bits; what is beyond 65504 by half a step or more becomes infinite.
 *
 * @returns how many finite values became infinite.
 */
export function toFloat16(values: Float32Array, out: Uint16Array): number {
  let saturated = 0;
  const bits = bitsOf(values);
  const sum = new Float32Array(1);
  const sumBits = bitsOf(sum);
  for (let i = 0; i < bits.length; i++) {
    const b = bits[i]!;
    const sign = (b >>> 16) & 0x8000;
    const magnitude = b & 0x7fffffff;
    if (magnitude >= 0x38800000 && magnitude < 0x477ff000) {
      // Normal in both: move the exponent's bias from 127 to 15, then round off 13 bits.
      const rebased = magnitude - 0x38000000;
      out[i] = sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
    } else if (magnitude < 0x38800000) {
      // Subnormal in float16: next to 0.5 a float32 has the same step (2^-24), so this addition does the rounding.
      sum[0] = Math.abs(values[i]!) + 0.5;
      out[i] = sign | (sumBits[0]! - 0x3f000000);
    } else if (magnitude > 0x7f800000) out[i] = sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
    else {
      out[i] = sign | 0x7c00;
      if (magnitude < 0x7f800000) saturated++;
    }
  }
  return saturated;
}

/** float16 bits -> float32, exact. */
export function fromFloat16(values: Uint16Array): Float32Array {
  float16Table ??= Float32Array.from({ length: 0x10000 }, (_, half) => float16Value(half));
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = float16Table[values[i]!]!;
  return out;
}

/** The value of each of the 65536 float16s (256 KiB): made once, four times as fast as computing each. */
let float16Table: Float32Array | undefined;

function float16Value(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);
