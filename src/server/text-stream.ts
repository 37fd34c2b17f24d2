import { PHASES, type RowBatch } from "../capture/rows.ts";

const GENERATED = PHASES.indexOf("generated");

/**
 * The generated text of one sample as it grows. What it gives adds up to the sample's final text: bytes that are no
 * character yet and the beginning of a stop string are held back until what follows tells.
 */
export class TextStream {
  readonly #tokens: number[] = [];
  readonly #stops: readonly string[];
  readonly #textOf: (tokens: readonly number[]) => Promise<string>;
  #sent = "";

  /** @param textOf the text of some tokens; incomplete characters at its end as U+FFFD. */
  constructor(stops: readonly string[], textOf: (tokens: readonly number[]) => Promise<string>) {
    this.#stops = stops;
    this.#textOf = textOf;
  }

  /** Take the sample's rows of a batch. @returns the text that is certain now, beyond what was given before. */
  async add(batch: RowBatch, sample: number): Promise<string> {
    const before = this.#tokens.length;
    for (let row = 0; row < batch.rows; row++)
      if (batch.sample[row] === sample && batch.phase[row] === GENERATED)
        this.#tokens.push(batch.tokenId[row]!);
    if (this.#tokens.length === before) return "";
    const text = (await this.#textOf(this.#tokens)).replace(/\uFFFD+$/, "");
    return this.#advance(text.slice(0, text.length - heldBack(text, this.#stops)));
  }

  /** The rest of the final text. */
  end(text: string): string {
    return this.#advance(text);
  }

  #advance(text: string): string {
    if (text.length <= this.#sent.length) return "";
    const fresh = text.slice(this.#sent.length);
    this.#sent = text;
    return fresh;
  }
}

/** Length of the longest end of the text that a stop string begins with. */
function heldBack(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops)
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--)
      if (text.endsWith(stop.slice(0, length))) longest = length;
  return longest;
}
