import { ModelError, RequestError } from "../../../core/errors.ts";
import type { EngineRequest } from "../../../core/request.ts";
import { firstBytes, kindOfTokenizer, rwkvBytes, type TokenizerKind } from "./tokenizer-kind.ts";

/**
 * What must hold of a text before llama.cpp's tokenizer gets it, by the kind of tokenizer: it would end the process, run for
 * ever or leave characters out. What the special tokens need is checked where they are known, in `vocabulary.ts`.
 *
 * Source: the sessions of `llama-vocab.cpp`.
 */
export class TextCheck {
  readonly kind: TokenizerKind | null;
  readonly #name: string;
  readonly #metadata: Readonly<Record<string, unknown>>;
  #fault: ((text: string) => string | null) | undefined;

  /** @param name of the model, for messages. */
  constructor(metadata: Readonly<Record<string, unknown>>, name: string) {
    this.#metadata = metadata;
    this.#name = name;
    this.kind = kindOfTokenizer(metadata);
  }

  /** Why the model takes no text at all, or `null`. */
  get refusal(): string | null {
    if (this.kind !== "none") return null;
    return `${this.#name} has no vocabulary (tokenizer.ggml.model is ${this.#metadata["tokenizer.ggml.model"]}): text cannot become tokens`;
  }

  /** What of a text the vocabulary lacks, or `null`. */
  lacks(text: string): string | null {
    this.#fault ??= coverage(this.kind, this.#metadata);
    return this.#fault(text);
  }

  /** @throws RequestError where generation is to end at a text, and tokens have none. */
  assertStops(requests: readonly EngineRequest[]): void {
    if (this.refusal !== null && requests.some(({ sampling }) => sampling.stop.length > 0))
      throw new RequestError("INVALID_ARGUMENT", `${this.refusal}, and back: there is no text to stop at`);
  }

  /**
   * @throws RequestError `INVALID_ARGUMENT` for a text that cannot go in; ModelError `MODEL_INVALID` where the vocabulary
   * lacks what the text needs.
   */
  assert(text: string): void {
    if (this.refusal !== null)
      throw new RequestError("INVALID_ARGUMENT", `${this.refusal}; give token ids (tokenIds, --token-ids)`);
    const long = this.kind === "bpe" ? longRun(text, this.#metadata["tokenizer.ggml.pre"]) : null;
    if (long !== null)
      throw new RequestError(
        "INVALID_ARGUMENT",
        `the text has ${long} characters of one kind without a break; llama.cpp splits text for this tokenizer ` +
          `(${this.#metadata["tokenizer.ggml.pre"] ?? "default"}) with expressions that take at most ${MAX_RUN}: ` +
          "break it up, or give token ids",
      );
    const fault = this.lacks(text);
    if (fault !== null)
      throw new ModelError(
        "MODEL_INVALID",
        `the tokenizer of ${this.#name} cannot take this text: ${fault}; convert the model again, or give token ids`,
      );
  }
}

/**
 * Characters of one kind in a row that llama.cpp's regular expressions take on the stack of a native call. Measured for every
 * pre-tokenizer with runs of letters, digits, spaces and signs: the first to fail did so between 24,000 and 32,000.
 */
const MAX_RUN = 20_000;
/** `tokenizer.ggml.pre` of those whose expressions llama.cpp has by hand, without recursion: 200,000 in a row were no matter. */
const BY_HAND = new Set(
  (
    "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano mpt starcoder gpt-2 phi-2 jina-es jina-de " +
    "gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert gemma4 granite-embed-multi-311m sarvam-moe jina-v1-en " +
    "jina-v2-code roberta-bpe refact command-r qwen2 deepseek-r1-qwen kormo f2llmv2 qwen35 stablelm2 olmo dbrx smaug-bpe " +
    "glm4 chatglm-bpe jais smollm codeshell exaone exaone4 chameleon minerva-7b megrez trillion granite-docling hunyuan " +
    "kimi-k2 grok-2 laguna solar-open mellum2"
  ).split(" "),
);
const RUNS = /[\p{L}\p{M}]+|\p{N}+|\s+|[^\p{L}\p{M}\p{N}\s]+/gu;
/** Words with single spaces between them are one piece to some. */
const PHRASES = /(?:[\p{L}\p{M}]| (?=\p{L}))+|\p{N}+|\s+|[^\p{L}\p{M}\p{N}\s]+/gu;
const BY_PHRASES = new Set(["exaone-moe"]);

/** The length of a run that is too long, or `null`. */
function longRun(text: string, pre: unknown): number | null {
  if (text.length <= MAX_RUN || BY_HAND.has(String(pre))) return null;
  for (const [run] of text.matchAll(BY_PHRASES.has(String(pre)) ? PHRASES : RUNS))
    if (run.length > MAX_RUN) return run.length;
  return null;
}

type Fault = (text: string) => string | null;

const complete: Fault = () => null;

/** What of a text the vocabulary lacks. */
function coverage(kind: TokenizerKind | null, metadata: Readonly<Record<string, unknown>>): Fault {
  const tokens = (metadata["tokenizer.ggml.tokens"] ?? []) as readonly string[];
  switch (kind) {
    case "spm": {
      const fault = characterCoverage(tokens);
      // A space goes before the text unless the file says otherwise.
      return metadata["tokenizer.ggml.add_space_prefix"] === false ? fault : (text) => fault(` ${text}`);
    }
    case "bpe":
      return WITHOUT_BYTE_LETTERS.has(String(metadata["tokenizer.ggml.pre"])) ||
        metadata["tokenizer.ggml.model"] === "gemma4"
        ? characterCoverage(tokens)
        : letterCoverage(tokens);
    case "rwkv":
      return rwkvCoverage(tokens, metadata["tokenizer.ggml.unknown_token_id"]);
  }
  return complete;
}

/** Pre-tokenizers of BPE that take UTF-8 as it is, and not a letter for each byte. */
const WITHOUT_BYTE_LETTERS = new Set(["gemma4", "granite-embed-multi-311m", "sarvam-moe", "whitespace"]);

const hex = (byte: number) => byte.toString(16).toUpperCase().padStart(2, "0");

const BYTE_TOKEN = /^<0x[0-9A-F]{2}>$/;

/** A character is a token, or its bytes are: `<0xE2>`. Without them llama.cpp ends the process, or leaves the character out. */
function characterCoverage(tokens: readonly string[]): Fault {
  if (new Set(tokens.filter((token) => BYTE_TOKEN.test(token))).size === 256) return complete;
  const known = new Set(tokens);
  const isByte = (byte: number) =>
    known.has(`<0x${hex(byte)}>`) || (byte < 0x80 && known.has(String.fromCharCode(byte)));
  return (text) => {
    for (const character of new Set(text.replaceAll(" ", "\u2581")))
      if (!known.has(character)) {
        const missing = [...new TextEncoder().encode(character)].find((byte) => !isByte(byte));
        if (missing !== undefined)
          return `it has no token for ${JSON.stringify(character)}, and none for the byte 0x${hex(missing)}`;
      }
    return null;
  };
}

/** A letter for each byte, as GPT-2 has them; llama.cpp leaves out what has none. */
function letterCoverage(tokens: readonly string[]): Fault {
  const known = new Set(tokens.filter((token) => token.length === 1));
  const missing: readonly boolean[] = byteLetters().map((letter) => !known.has(letter));
  if (!missing.includes(true)) return complete;
  return (text) => {
    const byte = new TextEncoder().encode(text).find((each) => missing[each]!);
    return byte === undefined ? null : `it has no token for the byte 0x${hex(byte)}`;
  };
}

/** GPT-2's letter of each byte: printable ones stand for themselves, the others for what follows U+0100. */
function byteLetters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCodePoint(printable ? byte : next++);
  });
}

/** Every piece that is looked for must be found, or be the unknown token: llama.cpp would look for ever, or give no token. */
function rwkvCoverage(tokens: readonly string[], unknown: unknown): Fault {
  const { begun, whole } = firstBytes(tokens.map(rwkvBytes));
  const hasUnknown = typeof unknown === "number" && unknown < tokens.length;
  return (text) => {
    const byte = new TextEncoder()
      .encode(text)
      .find((each) => !whole.has(each) && (begun.has(each) || !hasUnknown));
    return byte === undefined
      ? null
      : `it has no token for the byte 0x${hex(byte)}${begun.has(byte) ? "" : " and no unknown token"}`;
  };
}
