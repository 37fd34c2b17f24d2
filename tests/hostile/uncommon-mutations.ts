import { isList, type List, type Scalar, TYPE } from "./gguf-document.ts";
import { isNumber, type Mutation, makeList, NothingThere, ofModel, set } from "./mutation.ts";

/** Numbers that a formula does not expect. */
const NO_NUMBERS = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0,
  -0,
  -1,
  1e38,
  1e-45,
  0.5,
];
/** Keys of rotary positions that hold fractions, and of how they are scaled. */
const ROPE =
  "rope.freq_base rope.freq_base_swa rope.scale_linear rope.scaling.factor rope.scaling.attn_factor rope.scaling.yarn_log_multiplier rope.scaling.yarn_ext_factor rope.scaling.yarn_attn_factor rope.scaling.yarn_beta_fast rope.scaling.yarn_beta_slow".split(
    " ",
  );
const SCALINGS = ["none", "linear", "yarn", "longrope", "linear\0yarn", "", "dynamic"];
const FRACTIONS =
  "attention.layer_norm_epsilon attention.layer_norm_rms_epsilon attention.clamp_kqv attention.max_alibi_bias attention.scale attention.output_scale attention.temperature_scale expert_weights_scale logit_scale residual_scale embedding_scale attn_logit_softcapping router_logit_softcapping final_logit_softcapping expert_group_scale".split(
    " ",
  );
const COUNTS =
  "expert_count expert_used_count expert_shared_count expert_feed_forward_length feed_forward_length attention.head_count attention.head_count_kv".split(
    " ",
  );
const TOKENIZERS = "llama gpt2 bert t5 rwkv plamo2 gemma4 hybriddna whitespace".split(" ");
const PIECES =
  "tokens scores token_type merges pre precompiled_charsmap bos_token_id eos_token_id unknown_token_id seperator_token_id padding_token_id mask_token_id add_bos_token add_space_prefix".split(
    " ",
  );
/** What one reader leaves out of a name, and the other does not. */
const DISGUISES: readonly ((name: string) => string)[] = [
  (name) => `${name}\0`,
  (name) => `${name}\0.else`,
  (name) => `\ufeff${name}`,
  (name) => `${name} `,
  (name) => name.toUpperCase(),
  (name) => `${name}\udcff`,
  (name) => `${name}\udcc3`,
];
const ODD_NAMES = [
  "",
  "\0",
  "__proto__",
  "constructor",
  "toString",
  ".",
  "\u0007",
  "\ud83d\ude00",
  "x".repeat(63),
  "x".repeat(64),
  "x".repeat(100_000),
];

/** What is seldom wrong with a file by accident, and easily on purpose. */
export const UNCOMMON_MUTATIONS: Readonly<Record<string, Mutation>> = {
  "a fraction that is no number": ({ document, architecture, pick, below }) => {
    const there = document.entries.filter(({ type }) => type === TYPE.f32 || type === TYPE.f64);
    if (below(2) === 0 && there.length > 0) pick(there).value = pick(NO_NUMBERS);
    else set(document, `${architecture}.${pick(FRACTIONS)}`, TYPE.f32, pick(NO_NUMBERS));
  },
  "rotary positions": ({ document, architecture, pick, odd, below }) => {
    for (let times = 1 + below(3); times > 0; times--)
      set(document, `${architecture}.${pick(ROPE)}`, TYPE.f32, pick(NO_NUMBERS));
    if (below(2) === 0) set(document, `${architecture}.rope.scaling.type`, TYPE.string, pick(SCALINGS));
    if (below(3) === 0)
      set(document, `${architecture}.rope.scaling.original_context_length`, TYPE.u32, odd());
    if (below(4) === 0)
      set(document, `${architecture}.rope.dimension_sections`, TYPE.array, {
        type: TYPE.i32,
        items: Array.from({ length: pick([0, 1, 3, 4, 5]) }, odd),
      });
  },
  "counts by layer": ({ document, architecture, layers, pick, odd, below }) => {
    for (let times = 1 + below(2); times > 0; times--) {
      const key = `${architecture}.${pick(COUNTS)}`;
      const value = document.entries.find((entry) => entry.key === key)?.value ?? 1;
      const usual = isList(value) ? (value.items[0] ?? 1) : value;
      const length = pick([layers, layers, layers, layers - 1, layers + 1, 0, 1, 600]);
      const items = Array.from({ length: Math.max(0, length) }, () =>
        below(3) === 0 ? pick([0, 1, 2, Number(usual) * 2, odd()]) : usual,
      );
      set(document, key, TYPE.array, { type: pick([TYPE.u32, TYPE.i32]), items });
    }
  },
  "windows by layer": ({ document, architecture, layers, pick, odd, below }) => {
    if (below(2) === 0)
      set(document, `${architecture}.attention.sliding_window`, TYPE.u32, pick([0, 1, 2, 3, 8, odd()]));
    const length = pick([layers, layers, layers - 1, layers + 1, 0, 1]);
    const type = pick([TYPE.bool, TYPE.u32, TYPE.i32]);
    set(document, `${architecture}.attention.sliding_window_pattern`, TYPE.array, {
      type,
      items: Array.from({ length }, () => (type === TYPE.bool ? below(2) === 0 : pick([0, 1, 2, 3, odd()]))),
    });
  },
  "a list of lists": ({ document, pick, below }) => {
    const entry = pick(document.entries);
    let list: List = isList(entry.value)
      ? entry.value
      : { type: entry.type, items: [entry.value, entry.value] };
    for (let depth = pick([1, 1, 2, 3, 4, 5, 1000]); depth > 0; depth--)
      list = { type: TYPE.array, items: [], lists: below(3) === 0 ? [list, list] : [list] };
    // Twice a level would be more than fits into a file.
    makeList(entry, depthOf(list) > 10 ? chain(1000) : list);
  },
  "a list of another type": ({ document, pick }) => {
    const list = pick(document.entries.filter(({ value }) => isList(value))).value as List;
    const type = pick([TYPE.u8, TYPE.i8, TYPE.u16, TYPE.f32, TYPE.f64, TYPE.bool, TYPE.u64, TYPE.string, 13]);
    list.items = list.items.map((item): Scalar => (type === TYPE.string ? String(item) : Number(item) || 0));
    list.type = type;
  },
  "a key in disguise": ({ document, pick, odd, below }) => {
    // Before the right one, who reads up to a NUL finds it first; behind it, who reads no mark of byte order finds it last.
    const entry = pick(document.entries.filter(isNumber));
    const disguised = { ...entry, key: pick(DISGUISES)(entry.key), value: odd() };
    if (below(2) === 0) document.entries.unshift(disguised);
    else document.entries.push(disguised);
  },
  "a text in disguise": ({ document, pick }) => {
    const entry = pick(document.entries.filter(({ type }) => type === TYPE.string));
    entry.value = pick(DISGUISES)(String(entry.value));
  },
  "long texts": ({ document, architecture, pick, below }) => {
    const long = "x".repeat(pick([70_000, 1_000_000, 3_000_000]));
    pick<() => void>([
      () => document.entries.push({ key: long, type: TYPE.u32, value: 1 }),
      () => document.entries.unshift({ key: `${architecture}.${long}`, type: TYPE.f32, value: 1 }),
      () => set(document, "general.name", TYPE.string, long),
      () => set(document, "tokenizer.chat_template", TYPE.string, `{% for i in x %}${long}{% endfor %}`),
      () => set(document, "tokenizer.ggml.pre", TYPE.string, long),
      () => {
        const tokens = document.entries.find(({ key }) => key === "tokenizer.ggml.tokens")?.value as List;
        if (tokens) tokens.items[below(tokens.items.length)] = long;
      },
    ])();
  },
  "keys of odd names": ({ document, pick, below }) => {
    const many = below(4) === 0;
    const value = pick<Scalar>([0, 1, 2 ** 32 - 1]);
    if (many) for (let i = 0; i < 20_000; i++) document.entries.push({ key: `k${i}`, type: TYPE.u32, value });
    else {
      const key = pick(ODD_NAMES);
      if (below(2) === 0) document.entries.unshift({ key, type: TYPE.u32, value });
      else document.entries.push({ key, type: TYPE.array, value: { type: TYPE.u32, items: [value, value] } });
    }
  },
  "a tensor's name": ({ document, pick, below }) => {
    const tensor = pick(document.tensors);
    tensor.name = below(2) === 0 ? pick(ODD_NAMES) : pick(DISGUISES)(tensor.name);
  },
  "a tensor in disguise": ({ document, pick }) => {
    const tensor = pick(document.tensors);
    const other = { ...tensor, shape: tensor.shape.map(() => 1n), name: pick(DISGUISES)(tensor.name) };
    document.tensors.unshift(other);
  },
  "tensors over each other": ({ document, pick, below }) => {
    const from = below(document.tensors.length);
    const at = pick([0n, document.tensors[from]!.offset]);
    for (const tensor of document.tensors.slice(from)) tensor.offset = at;
  },
  "weights that are no numbers": ({ document, pick, below }) => {
    document.data = Buffer.from(document.data);
    const { offset, shape } = pick(document.tensors);
    const length = Number(4n * shape.reduce((product, n) => product * n, 1n));
    const part = document.data.subarray(Number(offset), Number(offset) + length);
    const value = pick(NO_NUMBERS);
    const some = 1 + below(4);
    for (let at = 0; at + 4 <= part.length; at += 4 * some)
      if (below(8) === 0) part.writeUInt32LE(below(2 ** 32), at);
      else part.writeFloatLE(value, at);
  },
  "a tokenizer without a piece": ({ document, pick, below }) => {
    if (below(2) === 0) set(document, "tokenizer.ggml.model", TYPE.string, pick(TOKENIZERS));
    for (let times = 1 + below(2); times > 0; times--) {
      const key = `tokenizer.ggml.${pick(PIECES)}`;
      const at = document.entries.findIndex((entry) => entry.key === key);
      if (at < 0) continue;
      const { value } = document.entries[at]!;
      if (isList(value) && below(3) === 0) value.items = [];
      else document.entries.splice(at, 1);
    }
  },
  "counts of the header": ({ document, pick }) => {
    const [tensors, entries] = [document.tensors, document.entries].map(({ length }) => BigInt(length));
    const other = (n: bigint) =>
      pick([0n, 1n, n - 1n, n + 1n, 2n * n, 2n ** 31n, 2n ** 32n + n, 2n ** 63n, -1n]);
    document.said = pick([
      { tensors: other(tensors!), entries: entries! },
      { tensors: tensors!, entries: other(entries!) },
    ]);
  },
  "numbers of the model all at once": (shop) => {
    const numbers = ofModel(shop).filter(isNumber);
    if (numbers.length === 0) throw new NothingThere();
    const value = shop.odd();
    for (const entry of numbers) if (shop.below(2) === 0) entry.value = value;
  },
};

const depthOf = (list: List): number => (list.lists ? 1 + depthOf(list.lists[0]!) : 0);

/** A list in a list in a list. */
function chain(depth: number): List {
  let list: List = { type: TYPE.u32, items: [1] };
  for (let i = 0; i < depth; i++) list = { type: TYPE.array, items: [], lists: [list] };
  return list;
}
