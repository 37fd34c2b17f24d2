import koffi from "koffi";

/** Views are made per page: one serves the many tensors of a graph, whose structs lie in one allocation. */
const PAGE = 1 << 20;
/** A struct may start in one page and end in the next. */
const OVERHANG = 4096;

/** Reads and writes single values at an address. The addresses must be valid: nothing here can check them. */
export class Memory {
  readonly #pages = new Map<number, { i32: Int32Array; u64: BigUint64Array }>();
  #page = -1;
  #i32!: Int32Array;
  #u64!: BigUint64Array;

  /** Let go of the views; where a model was, there is soon something else. */
  forget(): void {
    this.#pages.clear();
    this.#page = -1;
  }

  #at(address: number): number {
    const page = Math.floor(address / PAGE);
    if (page !== this.#page) {
      let views = this.#pages.get(page);
      if (!views) {
        const buffer = koffi.view(BigInt(page * PAGE), PAGE + OVERHANG);
        views = { i32: new Int32Array(buffer), u64: new BigUint64Array(buffer) };
        this.#pages.set(page, views);
      }
      this.#page = page;
      this.#i32 = views.i32;
      this.#u64 = views.u64;
    }
    return address - page * PAGE;
  }

  /** The 4-byte words around an address, for a struct that is read at once; its first is at {@link wordAt}. */
  wordsAt(address: number): Int32Array {
    this.#at(address);
    return this.#i32;
  }

  /** Index of an address in {@link wordsAt}. */
  wordAt(address: number): number {
    return this.#at(address) >> 2;
  }

  int32(address: number): number {
    const offset = this.#at(address);
    return this.#i32[offset >> 2]!;
  }

  setInt32(address: number, value: number): void {
    const offset = this.#at(address);
    this.#i32[offset >> 2] = value;
  }

  uint64(address: number): number {
    const offset = this.#at(address);
    return Number(this.#u64[offset >> 3]!);
  }

  setUint64(address: number, value: number): void {
    const offset = this.#at(address);
    this.#u64[offset >> 3] = BigInt(value);
  }

  /** A NUL-terminated ASCII string of at most `capacity` bytes. */
  text(address: number, capacity: number): string {
    const offset = this.#at(address);
    let text = "";
    for (let i = 0; i < capacity; i++) {
      const byte = (this.#i32[(offset + i) >> 2]! >>> (((offset + i) & 3) * 8)) & 0xff;
      if (byte === 0) break;
      text += String.fromCharCode(byte);
    }
    return text;
  }
}

/** Address of the first byte of an array whose memory does not move (anything over 64 bytes, or shared). */
export function addressOf(array: ArrayBufferView): bigint {
  return koffi.address(array);
}
