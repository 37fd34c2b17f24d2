import type { Capture } from "../../capture/capture.ts";
import type { ExpertTaste, TokenInContext, TokenPreference } from "../layer-analysis.ts";
import type { TokenTypes } from "../rows/token-types.ts";
import type { LayerChunk } from "../scan/layer-chunks.ts";
import { wilsonInterval } from "../statistics/wilson.ts";

/** Tokens listed for an expert, by weight and by lift. */
const MAX_TOKENS = 10;
/** Tokens of context before and after. */
const BEFORE = 8;
const AFTER = 4;
const NONE = -1;

/**
 * Collects what each expert of a layer likes. Holds some rows per expert and a count per expert and frequent token
 * type, whatever the number of rows.
 */
export class TasteTally {
  readonly #capture: Capture;
  readonly #types: TokenTypes;
  readonly #experts: number;
  /** `[types, experts]`. */
  readonly #counts: Uint32Array;
  readonly #used: Float64Array;
  /** `[experts, MAX_TOKENS]`, unordered: the row and weight of each token held. */
  readonly #rows: Int32Array;
  readonly #weights: Float32Array;
  /** Least weight held by each expert; what does not exceed it is no candidate. */
  readonly #least: Float32Array;

  constructor(capture: Capture, types: TokenTypes) {
    const experts = capture.model.moe!.experts;
    this.#capture = capture;
    this.#types = types;
    this.#experts = experts;
    this.#counts = new Uint32Array(types.ids.length * experts);
    this.#used = new Float64Array(experts);
    this.#rows = new Int32Array(experts * MAX_TOKENS).fill(NONE);
    this.#weights = new Float32Array(experts * MAX_TOKENS).fill(-Infinity);
    this.#least = new Float32Array(experts).fill(-Infinity);
  }

  add({ from, rows, ids, weights, topK }: LayerChunk): void {
    for (let row = 0; row < rows; row++) {
      const type = this.#types.ofRow[from + row]!;
      for (let i = row * topK; i < (row + 1) * topK; i++) {
        const expert = ids[i]!;
        this.#used[expert]!++;
        if (type >= 0) this.#counts[type * this.#experts + expert]!++;
        if (weights && weights[i]! > this.#least[expert]!) this.#hold(expert, from + row, weights[i]!);
      }
    }
  }

  /** A type takes one place, with its greatest weight; a new one takes the place of the lightest. */
  #hold(expert: number, row: number, weight: number): void {
    const { tokenId } = this.#capture.rows;
    const at = expert * MAX_TOKENS;
    let place = at;
    for (let i = at; i < at + MAX_TOKENS; i++) {
      if (this.#rows[i] !== NONE && tokenId[this.#rows[i]!] === tokenId[row]) {
        place = i;
        break;
      }
      if (this.#weights[i]! < this.#weights[place]!) place = i;
    }
    if (weight <= this.#weights[place]!) return;
    this.#rows[place] = row;
    this.#weights[place] = weight;
    let least = Infinity;
    for (let i = at; i < at + MAX_TOKENS; i++) least = Math.min(least, this.#weights[i]!);
    this.#least[expert] = least;
  }

  result(): ExpertTaste[] {
    return Array.from({ length: this.#experts }, (_, expert) => ({
      expert,
      byWeight: this.#byWeight(expert),
      byLift: this.#byLift(expert),
    }));
  }

  #byWeight(expert: number): TokenInContext[] {
    const held = Array.from({ length: MAX_TOKENS }, (_, i) => expert * MAX_TOKENS + i);
    return held
      .filter((i) => this.#rows[i] !== NONE)
      .sort((a, b) => this.#weights[b]! - this.#weights[a]! || this.#rows[a]! - this.#rows[b]!)
      .map((i) => ({ ...inContext(this.#capture, this.#rows[i]!), weight: this.#weights[i]! }));
  }

  #byLift(expert: number): TokenPreference[] {
    const all = this.#capture.rows.length;
    const overall = this.#used[expert]! / all;
    if (overall === 0) return [];
    const found: TokenPreference[] = [];
    this.#types.ids.forEach((tokenId, type) => {
      const count = this.#counts[type * this.#experts + expert]!;
      const of = this.#types.rows[type]!;
      const [low] = wilsonInterval(count, of, 0.95);
      if (low > overall)
        found.push({
          tokenId,
          text: this.#capture.tokenText(tokenId),
          count,
          of,
          lift: count / of / overall,
          certainLift: low / overall,
        });
    });
    return found.sort((a, b) => b.certainLift - a.certainLift || a.tokenId - b.tokenId).slice(0, MAX_TOKENS);
  }
}

/** A row with the text around it, as far as the capture has it without a gap. */
function inContext(capture: Capture, row: number): Omit<TokenInContext, "weight"> {
  const { sample, position, tokenId, length } = capture.rows;
  const joins = (a: number, b: number) =>
    a >= 0 && b < length && sample[a] === sample[b] && position[a]! + 1 === position[b];
  let from = row;
  while (row - from < BEFORE && joins(from - 1, from)) from--;
  let to = row + 1;
  while (to - row - 1 < AFTER && joins(to - 1, to)) to++;
  const text = (begin: number, end: number) =>
    Array.from(tokenId.subarray(begin, end), (id) => capture.tokenText(id)).join("");
  return {
    sample: sample[row]!,
    position: position[row]!,
    tokenId: tokenId[row]!,
    text: capture.tokenText(tokenId[row]!),
    before: text(from, row),
    after: text(row + 1, to),
    label: capture.samples[sample[row]!]!.label,
  };
}
