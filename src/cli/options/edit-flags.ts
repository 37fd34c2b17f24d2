import type { Command } from "commander";
import type { Edit } from "../../core/edits.ts";
import { append as extend } from "../../core/extremes.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import { moeLayer } from "../../core/moe-layer.ts";
import { UsageError } from "../usage-error.ts";
import { append, value } from "./option-parser.ts";
import { parseWhole } from "./option-values.ts";

/** Some experts of some layers: `L3E7`, `L3-5E0`, `L*E7`, `L3E*`. */
interface ExpertPlace {
  /** `null`: every MoE layer. */
  readonly layers: readonly number[] | null;
  /** `null`: all. */
  readonly experts: readonly number[] | null;
}

/** The options that edit, parsed. */
export interface EditFlags {
  readonly ban?: readonly ExpertPlace[];
  readonly force?: readonly ExpertPlace[];
  readonly bias?: readonly (ExpertPlace & { readonly bias: number })[];
  readonly steer?: readonly string[];
  readonly replay?: string;
  readonly topKExperts?: number;
}

/** Names of the options, as a resumed run must not have them. */
export const EDIT_FLAGS = ["ban", "force", "bias", "steer", "replay", "topKExperts"] as const;

/** Options that change what the model computes, for commands that run prompts. */
export const editOptions = (command: Command): Command =>
  command
    .option("--ban <experts>", "experts that are not used, e.g. L3E7,L5-8E0,L*E2", value(parseExperts))
    .option("--force <experts>", "experts that are always used, e.g. L3E7", value(parseExperts))
    .option("--bias <experts>", "what is added to router logits, e.g. L3E5=2,L*E1=-0.5", value(parseBiases))
    .option(
      "--steer <file[@scale]>",
      "vectors that are added to hidden states (.gguf, .safetensors); may repeat",
      append,
    )
    .option("--replay <dir>", "use the experts and weights that a capture of the same prompts has")
    .option("--top-k-experts <n>", "use fewer experts a token than the model does", value(parseWhole(1)));

const FORM = "write L3E7, L3-5E7, L*E7 for every layer, joined by commas";

/** `L3E7,L5-8E0`. */
function parseExperts(text: string): ExpertPlace[] {
  return text.split(",").map((part) => {
    const [, layers, experts] = /^\s*L(\*|\d+(?:-\d+)?)E(\*|\d+(?:-\d+)?)\s*$/i.exec(part) ?? [];
    if (layers === undefined || experts === undefined)
      throw new UsageError(`"${part}" names no expert of a layer; ${FORM}`);
    return { layers: numbers(layers), experts: numbers(experts) };
  });
}

/** `L3E5=2,L*E1=-0.5`. */
function parseBiases(text: string): (ExpertPlace & { bias: number })[] {
  return text.split(",").map((part) => {
    const at = part.indexOf("=");
    const bias = at < 0 || part.slice(at + 1).trim() === "" ? Number.NaN : Number(part.slice(at + 1));
    if (!Number.isFinite(bias)) throw new UsageError(`"${part}" says no number; write it as in L3E5=2`);
    return { ...parseExperts(part.slice(0, at))[0]!, bias };
  });
}

/** Experts and layers have 16 bits. */
const MOST = 2 ** 16;

function numbers(text: string): number[] | null {
  if (text === "*") return null;
  const [from, to = from] = text.split("-").map(Number) as [number, number?];
  if (from > to || to >= MOST)
    throw new UsageError(`"${text}" is no range of numbers below ${MOST}; ${FORM}`);
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** The edits that options ask for, for a model. */
export async function editsOf(flags: EditFlags, model: ModelInfo): Promise<readonly Edit[]> {
  const { steer = [], replay, topKExperts } = flags;
  const edits: Edit[] = [];
  for (const kind of ["ban", "force"] as const)
    for (const { layers, experts } of byLayers(flags[kind] ?? [], model))
      edits.push(kind === "ban" ? { ban: experts, layers } : { force: experts, layers });
  for (const place of flags.bias ?? [])
    for (const { layers, experts } of byLayers([place], model))
      edits.push({ bias: Object.fromEntries(experts.map((expert) => [expert, place.bias])), layers });
  for (const text of steer) {
    const { readControlVectors } = await import("../../engines/llama/model/control-vectors.ts");
    const { file, scale } = fileAndScale(text);
    extend(edits, await readControlVectors(file, scale));
  }
  if (replay !== undefined) edits.push({ replay });
  if (topKExperts !== undefined) edits.push({ topK: topKExperts });
  return edits;
}

/** Of each layer its experts together; layers with the same ones together. */
function byLayers(
  places: readonly ExpertPlace[],
  { moe }: ModelInfo,
): { layers: number[]; experts: number[] }[] {
  const of = new Map<number, Set<number>>();
  for (const { layers, experts } of places)
    for (const layer of layers ?? moe?.layers ?? []) {
      const all = moe?.layers.includes(layer) ? moeLayer(moe, layer).experts : 0;
      const set = of.get(layer) ?? new Set();
      of.set(layer, set);
      for (const expert of experts ?? Array.from({ length: all }, (_, i) => i)) set.add(expert);
    }
  const groups = new Map<string, { layers: number[]; experts: number[] }>();
  for (const [layer, set] of of) {
    const experts = [...set];
    const group = groups.get(`${experts}`) ?? { layers: [], experts };
    groups.set(`${experts}`, group);
    group.layers.push(layer);
  }
  return [...groups.values()];
}

/** `french.gguf@2.5`. */
function fileAndScale(text: string): { file: string; scale: number } {
  const [, file, scale] = /^(.+)@([^@/\\]+)$/.exec(text) ?? [];
  if (file === undefined) return { file: text, scale: 1 };
  const factor = Number(scale);
  if (!Number.isFinite(factor)) throw new UsageError(`"${scale}" is no scale; write it as in FILE@2.5`);
  return { file, scale: factor };
}
