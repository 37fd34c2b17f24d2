import { charsmapFault } from "./gguf-charsmap.ts";
import { firstBytes, kindOfTokenizer, rwkvBytes } from "./tokenizer-kind.ts";

/** Longest known vocabularies have some 260,000 tokens. */
const MAX_TOKENS = 1 << 21;
/**
 * Bytes of a token that goes into a tree of letters: llama.cpp makes that, and takes it down, by recursion. The longest known
 * tokens have a few hundred.
 */
const MAX_TREE_BYTES = 4096;
/** Bytes of all ends of all tokens, which the tokenizer of PLaMo 2 keeps and sorts: a hundred thousand tokens take some 2 MB. */
const MAX_ENDS = 1 << 24;
/** `LLAMA_TOKEN_TYPE_BYTE`. */
const BYTE = 6;

/**
 * What is wrong with the tokenizer in a file's metadata, or `null`: what llama.cpp indexes by token id, unchecked, and what
 * it asserts when it loads the vocabulary (`llama_vocab::impl::load`).
 */
export function vocabularyFault(metadata: Readonly<Record<string, unknown>>): string | null {
  const get = (name: string) => metadata[`tokenizer.ggml.${name}`];
  const tokens = get("tokens");
  if (tokens === undefined) return null;
  if (!isListOf(tokens, "string") || tokens.length < 1 || tokens.length > MAX_TOKENS)
    return "tokenizer.ggml.tokens is no list of texts";
  if (typeof get("model") !== "string") return "tokenizer.ggml.model is missing or no text";
  // llama.cpp reads up to a NUL and gives empty tokens names of their own; what is no UTF-8 all looks the same here.
  const named = tokens
    .map(
      (token, id) => (token.includes("\0") ? token.slice(0, token.indexOf("\0")) : token) || `[EMPTY_${id}]`,
    )
    .filter((token) => !token.includes("\ufffd"));
  if (new Set(named).size !== named.length) return "tokenizer.ggml.tokens names a token twice";
  for (const name of ["token_type", "scores"]) {
    const list = get(name);
    if (list !== undefined && !(isListOf(list, "number") && list.length === tokens.length))
      return `tokenizer.ggml.${name} does not have a number for each of the ${tokens.length} tokens`;
  }
  const merges = get("merges");
  if (merges !== undefined && !isListOf(merges, "string")) return "tokenizer.ggml.merges is no list of texts";
  return kindFault(metadata, tokens, get("token_type") as readonly number[] | undefined);
}

/** What llama.cpp does not survive with one kind of tokenizer. */
function kindFault(
  metadata: Readonly<Record<string, unknown>>,
  tokens: readonly string[],
  types: readonly number[] | undefined,
): string | null {
  switch (kindOfTokenizer(metadata)) {
    case "wpm": {
      const id = types?.indexOf(BYTE) ?? -1;
      return id < 0 ? null : `token ${id} is a byte, which a tokenizer of kind bert does not have`;
    }
    case "ugm": {
      const long = longToken(tokens);
      if (long !== null) return long;
      const map = metadata["tokenizer.ggml.precompiled_charsmap"];
      return map === undefined ? null : charsmapFault(map);
    }
    case "bpe":
      // Spaces stay in the text then, and are asserted not to be there.
      return metadata["tokenizer.ggml.pre"] === "whitespace" &&
        metadata["tokenizer.ggml.model"] !== "whitespace"
        ? "tokenizer.ggml.pre is whitespace, which goes with the model whitespace only"
        : null;
    case "plamo2": {
      const ends = tokens.reduce((sum, token) => sum + Buffer.byteLength(token) ** 2 / 2, 0);
      return ends > MAX_ENDS
        ? "its tokens are too long for the tokenizer plamo2, which would take hours to take them apart"
        : null;
    }
    case "rwkv": {
      const long = longToken(tokens);
      if (long !== null) return long;
      // It is what a line ends with, and looked up first of all: a token that only begins with it is looked for for ever.
      const { begun, whole } = firstBytes(tokens.map(rwkvBytes));
      return begun.has(10) && !whole.has(10)
        ? "tokenizer.ggml.tokens has no token for the end of a line (0x0A), but some that begin with it"
        : null;
    }
  }
  return null;
}

function longToken(tokens: readonly string[]): string | null {
  const id = tokens.findIndex((token) => Buffer.byteLength(token) > MAX_TREE_BYTES);
  return id < 0
    ? null
    : `token ${id} has ${Buffer.byteLength(tokens[id]!)} bytes, and this kind of tokenizer takes at most ${MAX_TREE_BYTES}`;
}

function isListOf<T extends "string" | "number">(
  value: unknown,
  type: T,
): value is (T extends "string" ? string : number)[] {
  return Array.isArray(value) && value.every((item) => typeof item === type);
}
