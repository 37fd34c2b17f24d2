import { ServerError } from "./server-error.ts";

/**
 * What JSON may hold. Reading it must not keep other clients waiting for more than about 50 ms: that is what these
 * take together on a slow machine. A token id is a number of a few bytes and costs little; a key or a text costs far more.
 */
export interface JsonLimits {
  readonly bytes: number;
  readonly depth: number;
  readonly numbers: number;
  /** Texts, literals, lists and objects. */
  readonly values: number;
  readonly keys: number;
  /** Of one object: larger ones get slow. */
  readonly keysOfObject: number;
}

export const JSON_LIMITS: JsonLimits = {
  bytes: 8 << 20,
  depth: 64,
  numbers: 300_000,
  values: 20_000,
  keys: 20_000,
  keysOfObject: 1000,
};

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Counts what a JSON text holds while its bytes arrive, so that one with too much in it is refused before anything is
 * made of it. Whether it is JSON at all is left to the parser.
 */
export class JsonCounter {
  readonly #limits: JsonLimits;
  #bytes = 0;
  #inText = false;
  #escaped = false;
  #inNumber = false;
  #values = 0;
  #numbers = 0;
  #keys = 0;
  #depth = 0;
  /** By depth, the keys so far. */
  readonly #keysAt: Uint32Array;

  constructor(limits: JsonLimits = JSON_LIMITS) {
    this.#limits = limits;
    this.#keysAt = new Uint32Array(limits.depth + 1);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws ServerError `TOO_LARGE` naming the limit that is passed. */
  add(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    this.#limit(this.#bytes, "bytes", "bytes");
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (this.#inText) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inText = false;
        continue;
      }
      // 0-9 - + . e E
      const ofNumber =
        (byte >= 0x30 && byte <= 0x39) ||
        byte === 0x2d ||
        (this.#inNumber && (byte === 0x2b || byte === 0x2e || byte === 0x45 || byte === 0x65));
      if (ofNumber) {
        if (!this.#inNumber) this.#limit(++this.#numbers, "numbers", "numbers");
        this.#inNumber = true;
        continue;
      }
      this.#inNumber = false;
      this.#structure(byte);
    }
  }

  #structure(byte: number): void {
    switch (byte) {
      case QUOTE:
        this.#inText = true;
        this.#value();
        break;
      // t, f, n: true, false, null
      case 0x74:
      case 0x66:
      case 0x6e:
        this.#value();
        break;
      // [ {
      case 0x5b:
      case 0x7b:
        this.#value();
        this.#limit(++this.#depth, "depth", "levels of nesting");
        this.#keysAt[this.#depth] = 0;
        break;
      // ] }
      case 0x5d:
      case 0x7d:
        if (this.#depth > 0) this.#depth--;
        break;
      // A colon: the text before it was a key, and no value.
      case 0x3a:
        this.#values--;
        this.#limit(++this.#keys, "keys", "keys");
        this.#limit(++this.#keysAt[this.#depth]!, "keysOfObject", "keys in one object");
        break;
    }
  }

  #value(): void {
    // The last key is counted as a value until its colon comes.
    if (++this.#values > this.#limits.values + 1) this.#refuse("values", "texts, lists and objects");
  }

  #limit(count: number, name: keyof JsonLimits, what: string): void {
    if (count > this.#limits[name]) this.#refuse(name, what);
  }

  #refuse(name: keyof JsonLimits, what: string): never {
    throw new ServerError(
      "TOO_LARGE",
      `the body holds more than ${this.#limits[name]} ${what}; send it in parts, or use the command line`,
    );
  }
}
