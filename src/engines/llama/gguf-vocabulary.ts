/** Longest known vocabularies have some 260,000 tokens. */
const MAX_TOKENS = 1 << 21;

/** What is wrong with the tokenizer in a file's metadata, or `null`. llama.cpp indexes these lists by token id, unchecked. */
export function vocabularyFault(metadata: Readonly<Record<string, unknown>>): string | null {
  const get = (name: string) => metadata[`tokenizer.ggml.${name}`];
  const tokens = get("tokens");
  if (tokens === undefined) return null;
  if (!isListOf(tokens, "string") || tokens.length < 1 || tokens.length > MAX_TOKENS)
    return "tokenizer.ggml.tokens is no list of texts";
  if (typeof get("model") !== "string") return "tokenizer.ggml.model is missing or no text";
  // llama.cpp reads up to a NUL and gives empty tokens names of their own; what is no UTF-8 all looks the same here.
  const named = tokens
    .map((token) => (token.includes("\0") ? token.slice(0, token.indexOf("\0")) : token))
    .filter((token) => token !== "" && !token.includes("\ufffd"));
  if (new Set(named).size !== named.length) return "tokenizer.ggml.tokens names a token twice";
  for (const name of ["token_type", "scores"]) {
    const list = get(name);
    if (list !== undefined && !(isListOf(list, "number") && list.length === tokens.length))
      return `tokenizer.ggml.${name} does not have a number for each of the ${tokens.length} tokens`;
  }
  const merges = get("merges");
  if (merges !== undefined && !isListOf(merges, "string")) return "tokenizer.ggml.merges is no list of texts";
  return null;
}

function isListOf<T extends "string" | "number">(
  value: unknown,
  type: T,
): value is (T extends "string" ? string : number)[] {
  return Array.isArray(value) && value.every((item) => typeof item === type);
}
