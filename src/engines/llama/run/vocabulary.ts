import { EngineError, ModelError, RequestError } from "../../../core/errors.ts";
import type { Llama } from "../native/bindings.ts";
import type { Pointer } from "../native/pointers.ts";

/** `llama_vocab_type`. */
const TYPE = { none: 0, spm: 1, bpe: 2, wpm: 3, ugm: 4 } as const;
/** Types that add a beginning and an end where the file says so. */
const ADDS_BY_FLAG: readonly number[] = [TYPE.spm, TYPE.bpe, TYPE.ugm];

/**
 * Tokens and text, by the model's own tokenizer. llama.cpp asserts what it needs of a tokenizer where it uses it, so all of
 * that is checked here first; what depends on the text, `text-check.ts` has checked before.
 */
export class Vocabulary {
  readonly size: number;
  readonly #llama: Llama;
  readonly #vocab: Pointer;
  readonly #type: number;
  #piece: Uint8Array = new Uint8Array(256);

  constructor(llama: Llama, model: Pointer) {
    this.#llama = llama;
    this.#vocab = llama.vocab(model);
    this.size = llama.vocabSize(this.#vocab);
    this.#type = llama.vocabType(this.#vocab);
  }

  /**
   * @throws ModelError `MODEL_INVALID` where a special token is to be added that the file does not have, or the text has
   * characters that the vocabulary does not have; RequestError for a model without a vocabulary.
   */
  tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Int32Array {
    this.#assertText();
    const missing = addSpecial ? this.#missingSpecial() : null;
    if (missing !== null)
      throw new ModelError(
        "MODEL_INVALID",
        `the tokenizer is set up to add ${missing}, which the file does not have; convert the model again, or use ` +
          "addSpecial: false (--no-special-tokens)",
      );
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
    const tokens = out.slice(0, count);
    // What has no token becomes the unknown token, and that may be none: -1.
    if (tokens.some((token) => token < 0 || token >= this.size))
      throw new ModelError(
        "MODEL_INVALID",
        "the text holds what the vocabulary has no token for, and the file names no unknown token",
      );
    return tokens;
  }

  #missingSpecial(): string | null {
    const { bos, eos, sep, addsBos, addsEos } = this.#llama;
    const byFlag = ADDS_BY_FLAG.includes(this.#type);
    const isWordPiece = this.#type === TYPE.wpm;
    if ((isWordPiece || (byFlag && addsBos(this.#vocab))) && bos(this.#vocab) < 0)
      return isWordPiece ? "CLS (tokenizer.ggml.bos_token_id)" : "BOS (tokenizer.ggml.bos_token_id)";
    if (isWordPiece && sep(this.#vocab) < 0) return "SEP (tokenizer.ggml.seperator_token_id)";
    if (byFlag && addsEos(this.#vocab) && eos(this.#vocab) < 0) return "EOS (tokenizer.ggml.eos_token_id)";
    return null;
  }

  #assertText(): void {
    if (this.#type === TYPE.none)
      throw new RequestError(
        "INVALID_ARGUMENT",
        "the model has no vocabulary: its tokens have no text; give token ids",
      );
  }

  /** The bytes a token stands for; special tokens have none unless asked for, and without a vocabulary no token has any. */
  bytes(token: number, special: boolean): Uint8Array {
    if (this.#type === TYPE.none) return new Uint8Array(0);
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
    this.#assertText();
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    let text = "";
    for (const token of tokens) text += decoder.decode(this.bytes(token, false), { stream: true });
    return text + decoder.decode();
  }

  /** Text of one token for display: bytes that are no UTF-8 on their own as `<0xE2>`, without a vocabulary its id. */
  label(token: number): string {
    if (this.#type === TYPE.none) return `<${token}>`;
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
