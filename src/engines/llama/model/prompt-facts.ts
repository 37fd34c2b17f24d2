import { templatesOf } from "./gguf-templates.ts";
import { TextCheck } from "./text-check.ts";
import { kindOfTokenizer, type TokenizerKind } from "./tokenizer-kind.ts";

/** What a model's file says of the prompts it takes. */
export interface PromptFacts {
  /** llama.cpp's kind of tokenizer; `null`: one that llama.cpp does not know. */
  readonly tokenizer: TokenizerKind | null;
  /** Why no text can go in, only token ids, or `null`. */
  readonly textRefused: string | null;
  /** What of plain English the vocabulary lacks, or `null`: texts with it are refused. */
  readonly lacks: string | null;
  /** The special tokens that are added to a text, in its order; `null`: one that is to be added and that the file does not have. */
  readonly adds: readonly (string | null)[];
  readonly chatTemplate: boolean;
  /** Names of further templates, e.g. `tool_use`. */
  readonly namedTemplates: readonly string[];
}

/** Pre-tokenizers whose models add a BOS token though the file does not say so. Source: `llama_vocab::impl::load`. */
const BOS_UNSAID = new Set(
  (
    "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken chameleon gemma4 " +
    "granite-embed-multi-311m"
  ).split(" "),
);
/** Ids of BOS and EOS (of `bert`: CLS and SEP) where the file names none. */
const DEFAULT_IDS: Readonly<Partial<Record<TokenizerKind, readonly [bos: number, eos: number]>>> = {
  spm: [1, 2],
  bpe: [11, 11],
  wpm: [101, 102],
  ugm: [-1, 1],
};

/** What can be typed on any keyboard. */
const ASCII = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join("");

export function promptFacts(metadata: Readonly<Record<string, unknown>>, name: string): PromptFacts {
  const { chatTemplate, namedTemplates } = templatesOf(metadata);
  const check = new TextCheck(metadata, name);
  return {
    tokenizer: kindOfTokenizer(metadata),
    textRefused: check.refusal,
    lacks: check.refusal === null ? check.lacks(ASCII) : null,
    adds: addedTokens(metadata),
    chatTemplate: chatTemplate !== null || "default" in namedTemplates,
    namedTemplates: Object.keys(namedTemplates),
  };
}

function addedTokens(metadata: Readonly<Record<string, unknown>>): (string | null)[] {
  const kind = kindOfTokenizer(metadata);
  const get = (key: string) => metadata[`tokenizer.ggml.${key}`];
  // Gemma 4 is a BPE that knows no ids by itself.
  const ids = get("model") === "gemma4" ? ([-1, -1] as const) : kind && DEFAULT_IDS[kind];
  if (!ids) return [];
  const tokens = (get("tokens") ?? []) as readonly string[];
  const text = (key: string, fallback: number) => {
    const id = get(`${key}_token_id`);
    return (typeof id === "number" ? tokens[id] : undefined) ?? tokens[fallback] ?? null;
  };
  const says = (key: string, fallback: boolean) =>
    typeof get(key) === "boolean" ? get(key) === true : fallback;
  const isWordPiece = kind === "wpm";
  const bos =
    isWordPiece ||
    says("add_bos_token", kind === "spm" || BOS_UNSAID.has(String(get("pre"))) || get("model") === "gemma4");
  const eos = isWordPiece || says("add_eos_token", kind === "ugm");
  return [
    ...(bos ? [text("bos", ids[0])] : []),
    ...(eos ? [text(isWordPiece ? "seperator" : "eos", ids[1])] : []),
  ];
}
