import { Lru } from "../data/lru.ts";
import { type Cells, paint } from "./cells.ts";

type TileValues = Float32Array | Uint16Array;

export interface TiledOptions {
  readonly rows: number;
  readonly columns: number;
  readonly levels: number;
  readonly tileTexels: number;
  /** Values of a tile, `[rows, texels]`; the last tile of a level may be narrower. */
  readonly load: (level: number, index: number, signal: AbortSignal) => Promise<TileValues>;
  readonly colour: (value: number) => number;
  /** The one tile of the coarsest level as it is known so far: shown until the real one has come. */
  readonly draft?: TileValues;
}

/** Values and pictures kept, in bytes: a map of 100,000 tokens and 48 layers has 19 MB of values. */
const CAPACITY = 96 << 20;
/** Requests at a time. A browser has six connections to a server; others need one too. */
const MAX_REQUESTS = 4;

interface Tile {
  readonly values: TileValues;
  readonly texels: number;
  readonly picture: HTMLCanvasElement;
  readonly draft: boolean;
}

/** A map too wide to load at once: tiles come when they are seen, those no longer seen are not waited for. */
export class TiledCells implements Cells {
  readonly rows: number;
  readonly columns: number;
  readonly levels: number;
  readonly tileTexels: number;
  readonly #options: TiledOptions;
  readonly #tiles = new Lru<Tile>(CAPACITY);
  readonly #loading = new Map<string, AbortController>();
  readonly #failed = new Map<string, Error>();
  readonly #listeners = new Set<() => void>();
  /** What was asked for since the last drawing, newest need first. */
  #wanted: { readonly key: string; readonly level: number; readonly index: number }[] = [];
  #scheduled = false;

  constructor(options: TiledOptions) {
    this.#options = options;
    this.rows = options.rows;
    this.columns = options.columns;
    this.levels = options.levels;
    this.tileTexels = options.tileTexels;
    if (options.draft) this.#keep(`${options.levels - 1}/0`, options.draft, true);
  }

  texture(level: number, index: number): HTMLCanvasElement | null {
    const key = `${level}/${index}`;
    const tile = this.#tiles.get(key);
    if (!tile || tile.draft) this.#want(key, level, index);
    return tile?.picture ?? null;
  }

  known(level: number, index: number): HTMLCanvasElement | null {
    return this.#tiles.get(`${level}/${index}`)?.picture ?? null;
  }

  value(row: number, column: number): number | undefined {
    const level = this.levelOf(column);
    if (level === undefined) return undefined;
    const texel = column >> level;
    const tile = this.#tiles.get(`${level}/${Math.floor(texel / this.tileTexels)}`)!;
    return tile.values[row * tile.texels + (texel % this.tileTexels)];
  }

  /** The finest level that is here of a column: {@link value} is that of 2^level columns. */
  levelOf(column: number): number | undefined {
    for (let level = 0; level < this.levels; level++)
      if (this.#tiles.get(`${level}/${Math.floor((column >> level) / this.tileTexels)}`)) return level;
    return undefined;
  }

  /**
   * Values of the columns `[from, to)` at a level, loaded where they are not here: a line of `rows` values for each
   * texel, from the one that holds `from`.
   */
  async read(level: number, from: number, to: number, signal?: AbortSignal): Promise<number[][]> {
    const lines: number[][] = [];
    const last = (to - 1) >> level;
    for (let texel = from >> level; texel <= last; ) {
      const index = Math.floor(texel / this.tileTexels);
      const key = `${level}/${index}`;
      let values = this.#exact(key);
      if (!values) {
        values = await this.#options.load(level, index, signal ?? new AbortController().signal);
        this.#keep(key, values, false);
        this.#changed();
      }
      const texels = values.length / this.rows;
      const end = Math.min(last + 1, index * this.tileTexels + texels);
      for (; texel < end; texel++) {
        const at = texel - index * this.tileTexels;
        lines.push(Array.from({ length: this.rows }, (_, row) => values[row * texels + at]!));
      }
    }
    return lines;
  }

  #exact(key: string): TileValues | undefined {
    const tile = this.#tiles.get(key);
    return tile?.draft ? undefined : tile?.values;
  }

  /** Why tiles are missing, if requests failed. */
  get error(): Error | null {
    return this.#failed.values().next().value ?? null;
  }

  get loading(): boolean {
    return this.#loading.size > 0;
  }

  /** Whether the coarsest level is still a draft. */
  get drafted(): boolean {
    return this.#tiles.get(`${this.levels - 1}/0`)?.draft ?? false;
  }

  retry(): void {
    this.#failed.clear();
    this.#changed();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    for (const controller of this.#loading.values()) controller.abort();
    this.#listeners.clear();
  }

  #want(key: string, level: number, index: number): void {
    if (this.#failed.has(key)) return;
    this.#wanted.push({ key, level, index });
    if (this.#scheduled) return;
    this.#scheduled = true;
    // After the drawing that asked: then all that it needs is known.
    queueMicrotask(() => {
      this.#scheduled = false;
      const wanted = new Set(this.#wanted.map(({ key }) => key));
      for (const [loading, controller] of this.#loading)
        if (!wanted.has(loading)) {
          controller.abort();
          this.#loading.delete(loading);
        }
      // Those who show that something is under way learn of it.
      if (this.#start()) this.#changed();
    });
  }

  /** @returns whether there are new requests. */
  #start(): boolean {
    let started = false;
    while (this.#loading.size < MAX_REQUESTS) {
      const next = this.#wanted.shift();
      if (!next) break;
      if (this.#loading.has(next.key) || this.#tiles.get(next.key)?.draft === false) continue;
      const controller = new AbortController();
      started = true;
      this.#loading.set(next.key, controller);
      this.#options
        .load(next.level, next.index, controller.signal)
        .then(
          (values) => this.#keep(next.key, values, false),
          (error: Error) => {
            if (!controller.signal.aborted) this.#failed.set(next.key, error);
          },
        )
        .finally(() => {
          if (this.#loading.get(next.key) === controller) this.#loading.delete(next.key);
          this.#start();
          this.#changed();
        });
    }
    return started;
  }

  #keep(key: string, values: TileValues, draft: boolean): void {
    const texels = values.length / this.rows;
    const picture = paint(values, this.rows, texels, this.#options.colour);
    this.#tiles.set(key, { values, texels, picture, draft }, values.byteLength + 4 * values.length);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
