import { type GgufDocument, type List, type Scalar, TYPE, type Value } from "./gguf-document.ts";

/** What is changed of a good file, which has so many layers. */
export type Edit = (document: GgufDocument, architecture: string, layers: number) => void;

export const find = (document: GgufDocument, key: string) =>
  document.entries.find((entry) => entry.key === key);

function set(document: GgufDocument, key: string, type: number, value: Value): void {
  const entry = find(document, key);
  if (entry) Object.assign(entry, { type, value });
  else document.entries.push({ key, type, value });
}

/** A count as a list, with another value in one layer. */
const oneLayer =
  (name: string, at: (layers: number) => number, odd: Scalar): Edit =>
  (document, architecture, layers) => {
    const key = `${architecture}.${name}`;
    const value = find(document, key)?.value;
    if (value === undefined) return;
    const items = Array.from({ length: layers }, (_, i) =>
      typeof value === "object" ? (value.items[i] ?? value.items[0]!) : value,
    );
    items[at(layers)] = odd;
    set(document, key, TYPE.array, { type: TYPE.u32, items });
  };
const first = () => 0;
const last = (layers: number) => layers - 1;
const number =
  (name: string, value: number, type: number = TYPE.u32): Edit =>
  (document, architecture) =>
    set(document, `${architecture}.${name}`, type, value);
const tokenizer =
  (model: string, rewrite: (token: string, id: number) => string = (token) => token): Edit =>
  (document) => {
    const tokens = find(document, "tokenizer.ggml.tokens")?.value as List | undefined;
    if (!tokens) return;
    set(document, "tokenizer.ggml.model", TYPE.string, model);
    tokens.items = tokens.items.map((token, id) => rewrite(String(token), id));
  };
const withoutBytes = (token: string, id: number) => (/^<0x..>$/.test(token) ? `plain ${id}` : token);

/** One key or one kind of token; each ended the process in one family or many. */
export const EDITS: Readonly<Record<string, Edit>> = {
  "expert_used_count lists 0 for the first layer": oneLayer("expert_used_count", first, 0),
  "expert_used_count lists 0 for the last layer": oneLayer("expert_used_count", last, 0),
  "expert_used_count lists 1 for the last layer": oneLayer("expert_used_count", last, 1),
  "expert_count lists 0 for the last layer": oneLayer("expert_count", last, 0),
  "head_count lists 0 for the first layer": oneLayer("attention.head_count", first, 0),
  "head_count_kv lists 0 for the last layer": oneLayer("attention.head_count_kv", last, 0),
  "head_count_kv lists 3 for the last layer": oneLayer("attention.head_count_kv", last, 3),
  "feed_forward_length lists 0 for the last layer": oneLayer("feed_forward_length", last, 0),
  "sliding_window 0": number("attention.sliding_window", 0),
  "sliding_window 1": number("attention.sliding_window", 1),
  "sliding_window 2^32-1": number("attention.sliding_window", 2 ** 32 - 1),
  "sliding_window_pattern 0": number("attention.sliding_window_pattern", 0),
  "sliding_window_pattern 1": number("attention.sliding_window_pattern", 1),
  "sliding_window_pattern lists only 0": (document, architecture, layers) =>
    set(document, `${architecture}.attention.sliding_window_pattern`, TYPE.array, {
      type: TYPE.bool,
      items: Array.from({ length: layers }, () => false),
    }),
  "sliding_window_pattern lists only 1": (document, architecture, layers) =>
    set(document, `${architecture}.attention.sliding_window_pattern`, TYPE.array, {
      type: TYPE.bool,
      items: Array.from({ length: layers }, () => true),
    }),
  "attention.temperature_scale 0.5": number("attention.temperature_scale", 0.5, TYPE.f32),
  "tokenizer llama": tokenizer("llama"),
  "tokenizer llama without bytes": tokenizer("llama", withoutBytes),
  "tokenizer gpt2": tokenizer("gpt2"),
  "tokenizer gemma4 without bytes": tokenizer("gemma4", withoutBytes),
  "tokenizer bert": tokenizer("bert"),
  "tokenizer t5": tokenizer("t5"),
  "tokenizer t5, with long tokens": tokenizer("t5", (token, id) =>
    id % 7 === 5 ? token + "x".repeat(100_000) : token,
  ),
  "tokenizer rwkv": tokenizer("rwkv"),
  "tokenizer plamo2": tokenizer("plamo2"),
  "tokenizer plamo2 without bytes": tokenizer("plamo2", withoutBytes),
  "tokenizer plamo2, with long tokens": tokenizer("plamo2", (token, id) =>
    id % 7 === 5 ? token + "x".repeat(20_000) : token,
  ),
  "tokenizer hybriddna": tokenizer("hybriddna"),
  "tokenizer whitespace": tokenizer("whitespace"),
  "tokenizer none": tokenizer("none"),
  ...Object.fromEntries(
    [1, 4, 16, 64].map((alignment) => [
      `alignment ${alignment}`,
      (document: GgufDocument) => set(document, "general.alignment", TYPE.u32, alignment),
    ]),
  ),
};
