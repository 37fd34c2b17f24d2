import { PHASES, type RowBatch } from "../../core/rows.ts";

const GENERATED = PHASES.indexOf("generated");
/** What the bytes of a character that has not ended look like: all but its last. More of them are no character. */
const INCOMPLETE = /\uFFFD{1,3}$/;

/**
 * The generated text of one sample as it grows. What it gives adds up to the sample's final text: bytes that are no
 * character yet and the beginning of a stop string are held back until what follows tells.
 */
export class TextStream {
  /** Tokens from the last that ended with whole characters on; those before are in the text. */
  #open: number[] = [];
  /** How many of them were there when that was so: what a token says depends on the one before it. */
  #read = 0;
  /** Length of what the open tokens say that is in the text already; `null`: all that they said then. */
  #known: number | null = 0;
  #text = "";
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
    const before = this.#open.slice();
    for (let row = 0; row < batch.rows; row++)
      if (batch.sample[row] === sample && batch.phase[row] === GENERATED)
        this.#open.push(batch.tokenId[row]!);
    if (this.#open.length === before.length) return "";
    // Of a few tokens, not of all: a long answer would take time that grows with its square.
    const known = this.#known ?? (await this.#textOf(before)).length;
    const text = await this.#textOf(this.#open);
    const whole = text.replace(INCOMPLETE, "");
    this.#text += whole.slice(known);
    this.#known = Math.max(known, whole.length);
    if (whole === text) {
      this.#open = this.#open.slice(this.#read);
      this.#read = this.#open.length;
      this.#known = null;
    }
    return this.#advance(this.#text.slice(0, this.#text.length - heldBack(this.#text, this.#stops)));
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
