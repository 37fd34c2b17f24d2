/** Sizes and counts are `int32_t` in the end; heads and widths stay far below, and their products must as well. */
export const MAX_COUNT = 2 ** 31 - 1;
export const MAX_WIDTH = 2 ** 20;

/** The keys that begin with the architecture's name; every value is a number or a list of them once checked. */
export class Hyperparameters {
  readonly #metadata: Readonly<Record<string, unknown>>;
  readonly architecture: string;

  constructor(metadata: Readonly<Record<string, unknown>>, architecture: string) {
    this.#metadata = metadata;
    this.architecture = architecture;
  }

  key(name: string): string {
    return `${this.architecture}.${name}`;
  }

  value(name: string): unknown {
    return this.#metadata[this.key(name)];
  }

  /** Values of a key: one, or one a layer; none where it is missing. */
  all(name: string): number[] {
    const value = this.value(name);
    if (value === undefined) return [];
    return (Array.isArray(value) ? value : [value]).map(Number);
  }

  has(name: string): boolean {
    return this.key(name) in this.#metadata;
  }

  first(name: string): number | undefined {
    return this.all(name)[0];
  }

  numberFault(): string | null {
    for (const [key, value] of Object.entries(this.#metadata)) {
      if (key === "") return "a key has no name";
      if (!key.startsWith(`${this.architecture}.`)) continue;
      for (const item of Array.isArray(value) ? value : [value]) {
        if (typeof item !== "number" && typeof item !== "bigint") continue;
        const number = Number(item);
        if (!Number.isFinite(number)) return `${key} is ${number}`;
      }
    }
    return null;
  }

  /** Faults of keys that must lie in a range where they are present. */
  range(names: readonly string[], min: number, max: number): string | null {
    for (const name of names)
      for (const value of this.all(name))
        if (!(Number.isInteger(value) && value >= min && value <= max))
          return `${this.key(name)} is ${value}, it must be a whole number from ${min} to ${max}`;
    return null;
  }
}
