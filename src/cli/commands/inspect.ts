import type { ModelInfo, MoeInfo, MoeLayer } from "../../core/model-info.ts";
import { moeLayer } from "../../core/moe-layer.ts";
import { ranges } from "../../core/plan.ts";
import { safeText } from "../../core/safe-text.ts";
import type { ModelFile } from "../../engines/llama/model/gguf.ts";
import type { PromptFacts } from "../../engines/llama/model/prompt-facts.ts";
import { ruleWords } from "../../gating/rule-words.ts";
import { bytes, count, percent } from "../../views/numbers.ts";
import { bold, dim } from "../../views/terminal/parts/paint.ts";
import { clip, padRight } from "../../views/terminal/parts/text.ts";
import type { Terminal } from "../../views/terminal/terminal.ts";
import type { CommandContext } from "../command.ts";
import { resolving } from "../run-capture.ts";
import { inspectTensors } from "./inspect-tensors.ts";

export interface InspectFlags {
  readonly json?: boolean | undefined;
  readonly tensors?: boolean;
  readonly flashAttention: boolean;
}

/** `moescope inspect MODEL`: what the file says, without loading its weights. */
export async function inspect(
  model: string,
  { json, tensors, flashAttention }: InspectFlags,
  context: CommandContext,
): Promise<void> {
  const { output } = context;
  if (tensors) return inspectTensors(model, { json, flashAttention }, context);
  const info = await resolving(context, "Reading the model", (reach) => context.inspectModel(model, reach));
  if (json) output.print(JSON.stringify(info));
  else output.print(inspectView(info, output.terminal));
}

export function inspectView(info: ModelInfo & Partial<ModelFile>, { width, depth }: Terminal): string[] {
  const facts = [
    ["file", safeText(info.source)],
    ["architecture", safeText(info.architecture)],
    ["layers", layers(info)],
    ...(info.moe ? moeFacts(info.moe) : []),
    ["hidden size", `${info.hiddenSize}`],
    ["vocabulary", `${info.vocabSize} tokens`],
    ["context", `${info.contextLength} tokens`],
    ...(info.prompts ? promptLines(info.prompts) : []),
    ["parameters", count(info.parameters)],
    ...(info.pooling ? [["embeddings", `pooling ${info.pooling}`] as const] : []),
    ["weights", `${bytes(info.bytes)}, mostly ${safeText(info.quantization)}`],
  ] as const;
  return [
    bold(depth, clip(safeText(info.name), width)),
    ...facts.map(([name, value]) => `  ${dim(depth, padRight(name, 16))}${clip(value, width - 18)}`),
    "",
    dim(
      depth,
      info.moe
        ? 'Next: moescope capture MODEL "some text"   see which experts serve it'
        : "This model is dense: it has no router. Its hidden states can be captured.",
    ),
  ];
}

/** What a text and a chat become. */
function promptLines(prompts: PromptFacts): [string, string][] {
  const { chatTemplate, namedTemplates } = prompts;
  const further = namedTemplates.length > 0 ? ` and ${namedTemplates.map(safeText).join(", ")}` : "";
  return [
    ["text prompts", textLine(prompts)],
    ["chats", chatTemplate ? `through the file's template${further}` : "none: the file has no chat template"],
  ];
}

function textLine({ tokenizer, textRefused, lacks, adds }: PromptFacts): string {
  if (textRefused !== null) return "none: the file has no vocabulary; give token ids (--token-ids)";
  if (tokenizer === null) return "by a tokenizer that llama.cpp does not know";
  if (lacks !== null) return `${tokenizer}; hardly any: ${lacks}`;
  if (adds.includes(null)) return `${tokenizer}, which lacks the token it adds: --no-special-tokens`;
  const added = adds.map((text) => JSON.stringify(safeText(text!))).join(" and ");
  return `${tokenizer}, adds ${added || "no special tokens"}`;
}

function layers({ layers: all, moe }: ModelInfo): string {
  if (!moe) return `${all}, dense`;
  if (moe.layers.length === all) return `${all}, all MoE`;
  return `${all}, of which ${moe.layers.length} MoE (${ranges(moe.layers)})`;
}

function moeFacts(moe: MoeInfo): [string, string][] {
  const { sharedExperts, zeroExperts } = moe;
  const zero: [string, string][] = zeroExperts
    ? [["zero experts", `${zeroExperts} of them, the last ones, compute nothing`]]
    : [];
  const shared: [string, string] = [
    "shared experts",
    sharedExperts === 0 ? "none" : `${sharedExperts}, used for every token`,
  ];
  const kinds = kindsOfLayers(moe);
  return kinds.flatMap(({ experts, topK, gating, layers: having }, i): [string, string][] => {
    const where = kinds.length > 1 ? `layers ${ranges(having)}: ` : "";
    return [
      [
        "experts",
        `${where}${experts} routed, ${topK} used per token (fair share ${percent(topK / experts)})`,
      ],
      ...(i === 0 ? [...zero, shared] : []),
      ["gating", gating ? ruleWords(gating) : "not known"],
    ];
  });
}

/** The layers that are routed alike, in the order of the first of each kind. */
function kindsOfLayers(moe: MoeInfo): (MoeLayer & { layers: number[] })[] {
  const kinds = new Map<string, MoeLayer & { layers: number[] }>();
  for (const layer of moe.layers) {
    const { experts, topK, gating } = moeLayer(moe, layer);
    const key = JSON.stringify([experts, topK, gating]);
    const kind = kinds.get(key) ?? { experts, topK, gating, layers: [] };
    kinds.set(key, kind);
    kind.layers.push(layer);
  }
  return [...kinds.values()];
}
