/** What a file says of chats: its templates, and the texts of its special tokens. */
export interface GgufTemplates {
  readonly chatTemplate: string | null;
  readonly namedTemplates: Readonly<Record<string, string>>;
  /** Those that the file names by an id. */
  readonly specialTokens: Readonly<Record<string, string>>;
}

const TEMPLATE = "tokenizer.chat_template";
/** The names that transformers gives them, by the file's. */
const SPECIAL: Readonly<Record<string, string>> = {
  unk: "unknown",
  sep: "seperator",
  pad: "padding",
  cls: "cls",
  mask: "mask",
};

/** Chat templates lie under `tokenizer.chat_template`, those for a purpose under `tokenizer.chat_template.<name>`. */
export function templatesOf(metadata: Readonly<Record<string, unknown>>): GgufTemplates {
  const template = metadata[TEMPLATE];
  const named = Object.entries(metadata).flatMap(([key, value]) =>
    key.startsWith(`${TEMPLATE}.`) && typeof value === "string"
      ? [[key.slice(TEMPLATE.length + 1), value] as const]
      : [],
  );
  const tokens = (metadata["tokenizer.ggml.tokens"] ?? []) as readonly string[];
  const special = Object.entries(SPECIAL).flatMap(([name, key]) => {
    const text = tokens[Number(metadata[`tokenizer.ggml.${key}_token_id`] ?? -1)];
    return text === undefined ? [] : [[name, text] as const];
  });
  return {
    chatTemplate: typeof template === "string" ? template : null,
    namedTemplates: Object.fromEntries(named),
    specialTokens: Object.fromEntries(special),
  };
}
