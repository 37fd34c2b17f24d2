/** llama.cpp's kinds of tokenizers (`llama_vocab_type`). */
export type TokenizerKind = "none" | "spm" | "bpe" | "wpm" | "ugm" | "rwkv" | "plamo2" | "test";

/** By `tokenizer.ggml.model`. Source: `llama_vocab::impl::load`. */
const KINDS: Readonly<Record<string, TokenizerKind>> = {
  none: "none",
  no_vocab: "none",
  llama: "spm",
  bert: "wpm",
  gpt2: "bpe",
  hybriddna: "bpe",
  whitespace: "bpe",
  gemma4: "bpe",
  t5: "ugm",
  rwkv: "rwkv",
  plamo2: "plamo2",
  test: "test",
};

/** The kind of a model's tokenizer, or `null` for one that llama.cpp refuses. */
export function kindOfTokenizer(metadata: Readonly<Record<string, unknown>>): TokenizerKind | null {
  const model = metadata["tokenizer.ggml.model"];
  return typeof model === "string" && Object.hasOwn(KINDS, model) ? KINDS[model]! : null;
}

/** The bytes that tokens begin with, and those that are a token by themselves. */
export function firstBytes(tokens: readonly Uint8Array[]): {
  readonly begun: ReadonlySet<number>;
  readonly whole: ReadonlySet<number>;
} {
  const begun = new Set<number>();
  const whole = new Set<number>();
  for (const token of tokens) {
    if (token.length > 0) begun.add(token[0]!);
    if (token.length === 1) whole.add(token[0]!);
  }
  return { begun, whole };
}

const SHORT: Readonly<Record<string, number>> = { t: 9, n: 10, r: 13 };

/** The bytes that a token of an RWKV vocabulary stands for. Source: `llama_unescape_rwkv_token`. */
export function rwkvBytes(token: string): Uint8Array {
  const written = new TextEncoder().encode(token);
  const bytes: number[] = [];
  for (let i = 0; i < written.length; i++) {
    if (written[i] !== 0x5c) {
      bytes.push(written[i]!);
      continue;
    }
    const escaped = String.fromCharCode(written[++i] ?? 0);
    if (escaped === "x") {
      bytes.push(Number.parseInt(String.fromCharCode(...written.subarray(i + 1, i + 3)), 16) || 0);
      i += 2;
    } else if (i < written.length) bytes.push(SHORT[escaped] ?? written[i]!);
  }
  return Uint8Array.from(bytes);
}
