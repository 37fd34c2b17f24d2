import { EngineError } from "../../errors.ts";
import type { Llama, Pointer } from "./bindings.ts";

/** Tokens and text, by the model's own tokenizer. */
export class Vocabulary {
  readonly size: number;
  readonly #llama: Llama;
  readonly #vocab: Pointer;
  #piece: Uint8Array = new Uint8Array(256);

  constructor(llama: Llama, model: Pointer) {
    this.#llama = llama;
    this.#vocab = llama.vocab(model);
    this.size = llama.vocabSize(this.#vocab);
  }

  tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Int32Array {
    const bytes = new TextEncoder().encode(text);
    // At most a token a byte, and the special ones around them.
    let out = new Int32Array(bytes.length + 16);
    const run = () =>
      this.#llama.tokenize(this.#vocab, bytes, bytes.length, out, out.length, addSpecial, parseSpecial);
    let count = run();
    if (count < 0 && count > -0x80000000) {
      out = new Int32Array(-count);
      count = run();
    }
    if (count < 0)
      throw new EngineError("ENGINE_FAILED", `llama.cpp could not tokenise a text of ${bytes.length} bytes`);
    return out.slice(0, count);
  }

  /** The bytes a token stands for; special tokens have none unless asked for. */
  bytes(token: number, special: boolean): Uint8Array {
    const run = () =>
      this.#llama.tokenToPiece(this.#vocab, token, this.#piece, this.#piece.length, 0, special);
    let count = run();
    if (count < 0) {
      this.#piece = new Uint8Array(-count);
      count = run();
    }
    return this.#piece.slice(0, Math.max(0, count));
  }

  /** Text of several tokens; bytes that are no UTF-8 become U+FFFD. */
  text(tokens: Iterable<number>): string {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    let text = "";
    for (const token of tokens) text += decoder.decode(this.bytes(token, false), { stream: true });
    return text + decoder.decode();
  }

  /** Text of one token for display: bytes that are no UTF-8 on their own as `<0xE2>`. */
  label(token: number): string {
    const bytes = this.bytes(token, true);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return Array.from(bytes, (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`).join("");
    }
  }

  isEndOfGeneration(token: number): boolean {
    return this.#llama.isEndOfGeneration(this.#vocab, token);
  }

  special(): { bos: string; eos: string } {
    const text = (token: number) => (token < 0 ? "" : this.label(token));
    return { bos: text(this.#llama.bos(this.#vocab)), eos: text(this.#llama.eos(this.#vocab)) };
  }
}
