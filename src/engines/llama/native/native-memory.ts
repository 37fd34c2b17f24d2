import koffi from "koffi";

/** Views are made per page: one serves the many tensors of a graph, whose structs lie in one allocation. */
const PAGE = 1 << 20;
/** A struct may start in one page and end in the next. */
const OVERHANG = 4096;

/** Reads and writes single values at an address. The addresses must be valid: nothing here can check them. */
export class Memory {
  readonly #pages = new Map<number, Views>();
  /** Pieces that were asked for as a whole, by address. */
  readonly #pieces = new Map<number, ArrayBuffer>();
  #page = -1;
  #i32!: Int32Array;
  #u64!: BigUint64Array;
  #bytes!: Buffer;

  /** Let go of the views; where a model was, there is soon something else. */
  forget(): void {
    this.#pages.clear();
    this.#pieces.clear();
    this.#page = -1;
  }

  /** A piece of memory as it is, at least so long: for loops over much of it. */
  piece(address: number, bytes: number): ArrayBuffer {
    const known = this.#pieces.get(address);
    if (known && known.byteLength >= bytes) return known;
    const piece = koffi.view(BigInt(address), bytes);
    this.#pieces.set(address, piece);
    return piece;
  }

  #at(address: number): number {
    const page = Math.floor(address / PAGE);
    if (page !== this.#page) {
      let views = this.#pages.get(page);
      if (!views) {
        const buffer = koffi.view(BigInt(page * PAGE), PAGE + OVERHANG);
        views = { i32: new Int32Array(buffer), u64: new BigUint64Array(buffer), bytes: Buffer.from(buffer) };
        this.#pages.set(page, views);
      }
      this.#page = page;
      this.#i32 = views.i32;
      this.#u64 = views.u64;
      this.#bytes = views.bytes;
    }
    return address - page * PAGE;
  }

  int32(address: number): number {
    const offset = this.#at(address);
    return this.#i32[offset >> 2]!;
  }

  setInt32(address: number, value: number): void {
    const offset = this.#at(address);
    this.#i32[offset >> 2] = value;
  }

  /** An address of this process, a size or a count; a double holds them all. */
  uint64(address: number): number {
    const word = this.#at(address) >> 2;
    return (this.#i32[word]! >>> 0) + this.#i32[word + 1]! * 2 ** 32;
  }

  setUint64(address: number, value: number): void {
    const offset = this.#at(address);
    this.#u64[offset >> 3] = BigInt(value);
  }

  /** A NUL-terminated ASCII string of at most `capacity` bytes. */
  text(address: number, capacity: number): string {
    const offset = this.#at(address);
    return textAt(this.#bytes, offset, capacity);
  }
}

/** A NUL-terminated ASCII string of at most `capacity` bytes. */
export function textAt(bytes: Buffer, offset: number, capacity: number): string {
  const text = bytes.toString("latin1", offset, offset + capacity);
  const end = text.indexOf("\0");
  return end === -1 ? text : text.slice(0, end);
}

const UP = 2 ** 537;

/**
 * What 8 bytes say as a whole number, where they were read as a double: an address of this process, a size, a count.
 * All are below 2^52, so that as doubles they are the smallest there are, steps of 2^-1074. One read instead of two.
 */
export const toNumber = (double: number): number => double * UP * UP;

/** One piece of memory, by what is read there. */
interface Views {
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;
  readonly bytes: Buffer;
}

/** Address of the first byte of an array whose memory does not move (anything over 64 bytes, or shared). */
export function addressOf(array: ArrayBufferView): bigint {
  return koffi.address(array);
}

/** A copy of 32-bit floats at an address. */
export function floatsAt(address: bigint, count: number): Float32Array {
  return koffi.decode(address, "float", count) as Float32Array;
}
