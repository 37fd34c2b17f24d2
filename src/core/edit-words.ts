import type { EditRecord } from "./edits.ts";
import { ranges } from "./plan.ts";

/** What an edit does and where, for people: `bans experts 7, 9 in layer 3, of the prompt`. */
export function editWords(edit: EditRecord): string {
  const layers = edit.layers as readonly number[] | undefined;
  const where = layers ? ` in layer${layers.length > 1 ? "s" : ""} ${ranges(layers)}` : " in every MoE layer";
  return `${doing(edit)}${where}${rowWords(edit.select as SelectRecord | undefined)}`;
}

interface SelectRecord {
  readonly phase?: string;
  readonly positions?: readonly number[];
  readonly last?: number;
}

function doing(edit: EditRecord): string {
  if ("ban" in edit) return `bans ${experts(edit.ban)}`;
  if ("force" in edit) return `forces ${experts(edit.force)}`;
  if ("bias" in edit)
    return `adds to router logits ${Object.entries(edit.bias as Record<string, number>)
      .map(([expert, bias]) => `${bias} of expert ${expert}`)
      .join(", ")}`;
  if ("topK" in edit) return `uses ${edit.topK} experts a token`;
  if ("replay" in edit) return `replays ${edit.replay ?? "a capture in memory"}`;
  const vector = edit.add as readonly number[];
  const scale = typeof edit.scale === "number" ? edit.scale : 1;
  const norm = Math.abs(scale) * Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return `adds a vector of length ${Number(norm.toPrecision(4))}`;
}

const experts = (list: unknown) => {
  const numbers = list as readonly number[];
  return `expert${numbers.length > 1 ? "s" : ""} ${numbers.join(", ")}`;
};

function rowWords({ phase, positions, last }: SelectRecord = {}): string {
  const parts = [
    ...(phase ? [phase === "prompt" ? "rows of the prompt" : "generated rows"] : []),
    ...(positions ? [`positions ${ranges([...positions].sort((a, b) => a - b))}`] : []),
    ...(last ? [`the prompt's last ${last}`] : []),
  ];
  return parts.length > 0 ? `, only ${parts.join(", ")}` : "";
}
