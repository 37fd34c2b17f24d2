import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import { type Entry, isList, type List, parse, type Scalar, TYPE, write } from "./gguf-document.ts";
import { isNumber, type Mutation, makeList, NothingThere, ofModel, set, type Workshop } from "./mutation.ts";
import { UNCOMMON_MUTATIONS } from "./uncommon-mutations.ts";

/** llama.cpp's keys behind an architecture's name (`LLM_KV_NAMES`), those that models of text have. */
const KEYS = (
  "vocab_size context_length embedding_length embedding_length_out embedding_length_per_layer_input features_length block_count " +
  "leading_dense_block_count feed_forward_length expert_feed_forward_length expert_shared_feed_forward_length " +
  "expert_chunk_feed_forward_length swiglu_clamp_exp swiglu_clamp_shexp use_parallel_residual tensor_data_layout expert_count " +
  "expert_used_count expert_shared_count expert_group_count expert_group_used_count expert_weights_scale expert_weights_norm " +
  "expert_gating_func expert_group_scale experts_per_group moe_every_n_layers moe_latent_size nextn_predict_layers " +
  "n_deepstack_layers pooling_type logit_scale decoder_start_token_id decoder_block_count attn_logit_softcapping " +
  "router_logit_softcapping final_logit_softcapping rescale_every_n_layers residual_scale embedding_scale token_shift_count " +
  "interleave_moe_layer_step full_attention_interval num_loops attention.head_count attention.head_count_kv " +
  "attention.max_alibi_bias attention.clamp_kqv attention.key_length attention.value_length attention.layer_norm_epsilon " +
  "attention.layer_norm_rms_epsilon attention.group_norm_epsilon attention.group_norm_groups attention.causal " +
  "attention.q_lora_rank attention.kv_lora_rank attention.relative_buckets_count attention.sliding_window " +
  "attention.sliding_window_pattern attention.scale attention.output_scale attention.value_scale attention.temperature_length " +
  "attention.temperature_scale attention.key_length_mla attention.value_length_mla attention.key_length_swa " +
  "attention.value_length_swa attention.indexer.head_count attention.indexer.key_length attention.indexer.top_k " +
  "attention.output_group_count attention.output_lora_rank attention.compress_ratios attention.shared_kv_layers " +
  "attention.recurrent_layers hyper_connection.count hyper_connection.sinkhorn_iterations hash_layer_count " +
  "rope.dimension_count rope.dimension_count_swa rope.dimension_sections rope.freq_base rope.freq_base_swa rope.scale_linear " +
  "rope.scaling.type rope.scaling.factor rope.scaling.attn_factor rope.scaling.original_context_length rope.scaling.finetuned " +
  "rope.scaling.yarn_log_multiplier rope.scaling.yarn_beta_fast rope.scaling.yarn_beta_slow ssm.conv_kernel ssm.inner_size " +
  "ssm.state_size ssm.time_step_rank ssm.group_count ssm.dt_b_c_rms kda.head_dim wkv.head_size classifier.output_labels " +
  "shortconv.l_cache dense_2_feat_in dense_2_feat_out dense_3_feat_in dense_3_feat_out"
).split(" ");
/** Those that count or list by layer. */
const BY_LAYER =
  /expert_used_count|expert_count|head_count|feed_forward_length|sliding_window|pattern|recurrent|rope/;
const TOKENIZERS = "llama gpt2 bert t5 rwkv plamo2 gemma4 none no_vocab hybriddna whitespace test".split(" ");
const PRE_TOKENIZERS =
  "default llama-bpe llama3 qwen2 gpt-2 deepseek-v3 deepseek-llm deepseek-coder falcon mpt starcoder refact command-r olmo dbrx whitespace gpt-4o tekken minimax-m2 kimi-k2 exaone-moe afmoe".split(
    " ",
  );
const SPECIAL = "bos eos eot eom unknown seperator padding cls mask fim_pre fim_suf prefix suffix".split(" ");
const FLAGS =
  "add_bos_token add_eos_token add_sep_token add_space_prefix remove_extra_whitespaces escape_whitespaces".split(
    " ",
  );
const ARCHITECTURES =
  "llama llama4 qwen3moe qwen2moe olmoe deepseek2 gpt-oss dbrx granitemoe glm4moe bert nomic-bert-moe gemma3 gemma-embedding mamba rwkv7 t5 lfm2moe qwen3next jamba phimoe minicpm3 hunyuan-moe smallthinker grok".split(
    " ",
  );
const SCALARS = [TYPE.u8, TYPE.i8, TYPE.u16, TYPE.u32, TYPE.i32, TYPE.f32, TYPE.bool, TYPE.u64, TYPE.i64];
/** Types of tensors: F32, F16, quantised ones, whole numbers, BF16, and some there are not. */
const TENSOR_TYPES = [0, 1, 2, 8, 9, 10, 12, 14, 15, 16, 20, 24, 26, 27, 28, 30, 34, 35, 39, 40, 41, 99];

/** What is done to a file, by kind. */
const MUTATIONS: Readonly<Record<string, Mutation>> = {
  "a number by another": ({ document, pick, odd }) => {
    const entry = pick(document.entries.filter(isNumber));
    entry.value = odd();
  },
  "a number of the model by another": (shop) => {
    const entry = shop.pick(ofModel(shop).filter(isNumber));
    entry.value = shop.odd();
  },
  "a number by a list, one entry a layer": (shop) => {
    const numbers = ofModel(shop).filter(isNumber);
    const listed = numbers.filter(({ key }) => BY_LAYER.test(key));
    const entry = shop.pick(shop.below(3) > 0 && listed.length > 0 ? listed : numbers);
    const items = Array.from({ length: shop.layers }, () => entry.value as Scalar);
    items[shop.below(items.length)] = shop.pick([0, 0, 1, shop.odd()]);
    makeList(entry, { type: entry.type, items });
  },
  "a list by a number": ({ document, pick, odd }) => {
    const entry = pick(document.entries.filter(({ value }) => isList(value)));
    const { items } = entry.value as List;
    entry.type = TYPE.u32;
    entry.value = pick([Number(items[0]) || 0, 0, 1, odd()]);
  },
  "an entry of a list": ({ document, pick, below, odd }) => {
    const entry = pick(document.entries.filter(({ value }) => isList(value)));
    const list = entry.value as List;
    if (list.items.length === 0) return;
    const at = below(list.items.length);
    list.items[at] =
      list.type === TYPE.string ? pick(["", "x".repeat(10_000), "\0", "\u0007", "a b"]) : odd();
  },
  "a list longer or shorter": ({ document, pick, below }) => {
    const entry = pick(document.entries.filter(({ value }) => isList(value)));
    const list = entry.value as List;
    const wanted = pick([
      0,
      1,
      list.items.length - 1,
      list.items.length + 1,
      below(2 * list.items.length + 1),
    ]);
    if (wanted < list.items.length) list.items.length = Math.max(0, wanted);
    else while (list.items.length < wanted) list.items.push(list.items.at(-1) ?? 0);
  },
  "a type by another": ({ document, pick }) => {
    const entry = pick(document.entries.filter(({ value }) => !isList(value)));
    entry.type = pick(SCALARS);
    if (typeof entry.value === "string") entry.value = 1;
  },
  "a text by a number or back": ({ document, pick }) => {
    const entry = pick(document.entries.filter(({ value }) => !isList(value)));
    const wasText = entry.type === TYPE.string;
    entry.type = wasText ? TYPE.u32 : TYPE.string;
    entry.value = wasText ? 1 : String(entry.value);
  },
  "a key less": ({ document, below }) => {
    document.entries.splice(below(document.entries.length), 1);
  },
  "a key more": ({ document, architecture, pick, odd, layers, below }) => {
    const key = `${architecture}.${pick(KEYS)}`;
    const value = pick<Scalar>([0, 1, odd(), true, false, 0.5]);
    const type = typeof value === "boolean" ? TYPE.bool : value === 0.5 ? TYPE.f32 : TYPE.u32;
    const entry: Entry = { key, type, value };
    if (below(3) === 0) makeList(entry, { type, items: Array.from({ length: layers }, () => value) });
    const same = document.entries.findIndex((each) => each.key === key);
    document.entries.splice(same < 0 ? document.entries.length : same, same < 0 ? 0 : 1, entry);
  },
  "a key twice": ({ document, pick, odd }) => {
    const entry = pick(document.entries);
    document.entries.push({ ...entry, ...(isNumber(entry) && { value: odd() }) });
  },
  "another alignment": ({ document, pick }) => {
    set(document, "general.alignment", TYPE.u32, pick([0, 1, 2, 4, 8, 16, 24, 31, 64, 128, 2 ** 31]));
  },
  "another architecture": ({ document, architecture, pick, below }) => {
    const other = pick(ARCHITECTURES);
    set(document, "general.architecture", TYPE.string, other);
    // With the keys, as one who forges a file would, and without.
    if (below(4) > 0)
      for (const entry of document.entries)
        if (entry.key.startsWith(`${architecture}.`))
          entry.key = `${other}.${entry.key.slice(architecture.length + 1)}`;
  },
  "another tokenizer": ({ document, pick, below }) => {
    set(document, "tokenizer.ggml.model", TYPE.string, pick(TOKENIZERS));
    if (below(2) === 0) set(document, "tokenizer.ggml.pre", TYPE.string, pick(PRE_TOKENIZERS));
  },
  "another pre-tokenizer": ({ document, pick }) => {
    set(document, "tokenizer.ggml.pre", TYPE.string, pick(PRE_TOKENIZERS));
  },
  "special tokens": ({ document, pick, odd, below }) => {
    for (let times = 1 + below(3); times > 0; times--)
      if (below(3) === 0) set(document, `tokenizer.ggml.${pick(FLAGS)}`, TYPE.bool, below(2) === 0);
      else set(document, `tokenizer.ggml.${pick(SPECIAL)}_token_id`, pick([TYPE.u32, TYPE.i32]), odd());
  },
  "tokens rewritten": ({ document, pick, below }) => {
    const tokens = document.entries.find(({ key }) => key === "tokenizer.ggml.tokens")?.value as List;
    if (!tokens) return;
    const rewrite = pick<(token: string, id: number) => string>([
      (token, id) => (/^<0x/.test(token) ? `plain ${id}` : token),
      (token, id) => (token.length === 1 ? `long ${id}` : token),
      (_, id) => `token ${id}`,
      (token, id) => (id % 7 === 0 ? token.repeat(3000) : token),
      (token, id) => (id % 5 === 0 ? "" : token),
      (token, id) => (id % 5 === 0 ? "the same" : token),
      (token, id) => `${token}\0${id}`,
      (token, id) => (id % 3 === 0 ? `\u{1f600}${id}` : token),
      (token) => token.replaceAll("\n", "").replaceAll("\u010a", ""),
    ]);
    tokens.items = tokens.items.map((token, id) => rewrite(String(token), id));
    if (below(3) === 0) set(document, "tokenizer.ggml.model", TYPE.string, pick(TOKENIZERS));
  },
  "kinds and scores of tokens": ({ document, pick, below }) => {
    const tokens = document.entries.find(({ key }) => key === "tokenizer.ggml.tokens")?.value as List;
    if (!tokens) return;
    const kind = below(9) - 1;
    const items = tokens.items.map((_, id) => (id % (1 + below(3)) === 0 ? kind : 1));
    set(document, "tokenizer.ggml.token_type", TYPE.array, { type: TYPE.i32, items });
    const score = pick([0, -1e30, 1e30, Number.NaN, Number.POSITIVE_INFINITY]);
    if (below(2) === 0)
      set(document, "tokenizer.ggml.scores", TYPE.array, {
        type: TYPE.f32,
        items: tokens.items.map(() => score),
      });
  },
  "merges rewritten": ({ document, pick }) => {
    const tokens = document.entries.find(({ key }) => key === "tokenizer.ggml.tokens")?.value as List;
    const texts = (tokens?.items ?? []).map(String);
    const merge = pick<(i: number) => string>([
      (i) => `${texts[i % texts.length]} ${texts[(i * 7) % texts.length]}`,
      () => "",
      () => " ",
      () => "nospace",
      () => "a b c d",
      (i) => `${"x".repeat(5000)} ${i}`,
    ]);
    set(document, "tokenizer.ggml.merges", TYPE.array, {
      type: TYPE.string,
      items: Array.from({ length: 200 }, (_, i) => merge(i)),
    });
  },
  "a tensor's shape": ({ document, pick, below }) => {
    const tensor = pick(document.tensors);
    const at = below(tensor.shape.length);
    pick<() => void>([
      () => tensor.shape.reverse(),
      () => (tensor.shape[at] = tensor.shape[at]! / 2n),
      () => (tensor.shape[at] = tensor.shape[at]! * 2n),
      () => (tensor.shape[at] = pick([0n, 1n, 2n ** 31n, 2n ** 62n])),
      () => tensor.shape.push(1n),
      () => tensor.shape.push(2n),
      () => (tensor.shape = [tensor.shape.reduce((product, n) => product * n, 1n)]),
      () => tensor.shape.pop(),
    ])();
  },
  "a tensor's type": ({ document, pick }) => {
    pick(document.tensors).type = pick(TENSOR_TYPES);
  },
  "a tensor's place": ({ document, pick, below }) => {
    const tensor = pick(document.tensors);
    tensor.offset = pick([
      0n,
      tensor.offset + 1n,
      tensor.offset + 32n,
      pick(document.tensors).offset,
      BigInt(below(document.data.length)),
      2n ** 63n,
    ]);
  },
  "a tensor less": ({ document, below }) => {
    document.tensors.splice(below(document.tensors.length), 1);
  },
  "a tensor more": ({ document, pick, layers, below }) => {
    const from = pick(document.tensors);
    const name = pick([
      from.name.replace(".weight", ".bias"),
      `blk.${below(layers + 2)}.${pick(["ffn_gate_inp.weight", "exp_probs_b.bias", "attn_sinks.weight", "ffn_norm.weight", "attn_q.bias", "ffn_gate_inp.bias", "attn_q_norm.weight", "layer_output_scale.weight"])}`,
      pick([
        "rope_freqs.weight",
        "output.weight",
        "output.bias",
        "cls.weight",
        "token_types.weight",
        "position_embd.weight",
      ]),
    ]);
    document.tensors.push({ ...from, shape: [...from.shape], name });
  },
  "a tensor under another's name": ({ document, pick }) => {
    const [a, b] = [pick(document.tensors), pick(document.tensors)];
    [a.name, b.name] = [b.name, a.name];
  },
  "a layer's tensors in another layer": ({ document, pick, layers, below }) => {
    const part = pick(document.tensors).name.replace(/^blk\.\d+\./, "");
    const [from, to] = [below(layers), below(layers)];
    for (const tensor of document.tensors)
      if (tensor.name === `blk.${from}.${part}`) tensor.name = `blk.${to}.${part}`;
  },
};

const ALL: Readonly<Record<string, Mutation>> = { ...MUTATIONS, ...UNCOMMON_MUTATIONS };
export const KINDS: readonly string[] = Object.keys(ALL);

/** A file of one kind of mutation, and now and then a second. Equal seeds, equal files. */
export function mutateStructure(
  file: Buffer,
  seed: number,
): { readonly kind: string; readonly bytes: Buffer } {
  const random = seededRandom(seed + 1);
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(list: readonly T[]): T => {
    if (list.length === 0) throw new NothingThere();
    return list[below(list.length)]!;
  };
  const document = parse(file);
  const value = (key: string) => document.entries.find((entry) => entry.key === key)?.value;
  const architecture = String(value("general.architecture"));
  const layers = Number(value(`${architecture}.block_count`));
  const odd = () =>
    pick([
      0,
      1,
      2,
      3,
      5,
      -1,
      7,
      16,
      31,
      64,
      255,
      1000,
      65_536,
      2 ** 31 - 1,
      2 ** 31,
      2 ** 32 - 1,
      below(600),
    ]);
  const workshop: Workshop = { document, architecture, layers, below, pick, odd };
  const kind = KINDS[seed % KINDS.length]!;
  const others = below(4) === 0 ? [pick(KINDS)] : [];
  for (const each of [kind, ...others])
    try {
      ALL[each]!(workshop);
    } catch (error) {
      if (!(error instanceof NothingThere)) throw error;
    }
  const alignment = Number(
    document.entries.find(({ key, type }) => key === "general.alignment" && type === TYPE.u32)?.value ?? 32,
  );
  const usable = alignment > 0 && alignment <= 4096 ? alignment : 32;
  return { kind: [kind, ...others].join(" + "), bytes: write(document, usable) };
}
