import type { ModelInfo, MoeInfo } from "../../../core/model-info.ts";
import { safeText } from "../../../core/safe-text.ts";
import { count } from "../../numbers.ts";
import type { Terminal } from "../terminal.ts";
import { bold, dim } from "./paint.ts";
import { clip, displayWidth } from "./text.ts";

/** What was run and with what: one line, or two where the model's name and facts need more. */
export function header(model: ModelInfo, engineName: string, { width, depth }: Terminal): string[] {
  // Both names come from a file: of any length, with anything in them.
  const engine = clip(safeText(engineName), width >> 1);
  const facts = modelFacts(model).join(" · ");
  const name = clip(safeText(model.name), width - displayWidth(engine) - 2);
  const gap = width - displayWidth(name) - displayWidth(facts) - displayWidth(engine) - 4;
  if (gap >= 0) return [`${bold(depth, name)}  ${facts}${" ".repeat(gap + 2)}${dim(depth, engine)}`];
  const space = " ".repeat(width - displayWidth(name) - displayWidth(engine));
  return [bold(depth, name) + space + dim(depth, engine), clip(facts, width)];
}

function modelFacts(model: ModelInfo): string[] {
  return [
    safeText(model.architecture),
    model.moe ? `${model.layers} layers, ${moeLayers(model, model.moe)}` : `${model.layers} layers, dense`,
    ...(model.moe ? [expertFacts(model.moe)] : []),
    count(model.parameters),
    safeText(model.quantization),
  ];
}

function moeLayers(model: ModelInfo, moe: MoeInfo): string {
  return moe.layers.length === model.layers ? "all MoE" : `${moe.layers.length} MoE`;
}

function expertFacts({ experts, topK, sharedExperts, zeroExperts }: MoeInfo): string {
  const zero = zeroExperts ? ` (${zeroExperts} of them zero)` : "";
  return `${experts} experts${zero}, top-${topK}${sharedExperts ? ` + ${sharedExperts} shared` : ""}`;
}
