import { ranges } from "../../core/plan.ts";
import type { PlacementFacts } from "../facts/placement.ts";
import { count, memory, percent, plural } from "../numbers.ts";
import { alignColumns } from "./parts/columns.ts";
import { header } from "./parts/header.ts";
import { bold, dim } from "./parts/paint.ts";
import { clip, padLeft, padRight, wrap } from "./parts/text.ts";
import type { Terminal } from "./terminal.ts";

/** Where a model's experts go, why, and what that is worth. */
export function placementView(advice: PlacementFacts, terminal: Terminal): string[] {
  const { depth, width } = terminal;
  const { lastLayers, bestFit } = advice;
  return [
    ...header(advice.model, "llama.cpp", terminal),
    "",
    ...budget(advice, terminal),
    "",
    ...placement(headline(lastLayers, advice), lastLayers, advice, terminal),
    ...(bestFit ? ["", ...placement("Layers that fill the memory better", bestFit, advice, terminal)] : []),
    "",
    ...cacheLines(advice, terminal),
    "",
    ...remarks(advice).flatMap((text) => wrap(text, width).map((line) => dim(depth, line))),
  ];
}

function budget({ budget, contextSize, gpuLayers, model }: PlacementFacts, { depth }: Terminal): string[] {
  const all = gpuLayers === null;
  const rows = [
    [
      "weights that every token needs",
      memory(budget.weights),
      all ? "" : `${gpuLayers} of ${model.layers + 1} layers`,
    ],
    ["key-value cache", memory(budget.cache), `${count(contextSize)} tokens`],
    ["compute buffers, about", memory(budget.compute), ""],
    ["left for experts", memory(budget.experts), ""],
  ];
  return [
    bold(depth, `${memory(budget.vram)} of GPU memory`),
    ...alignColumns(rows, [padRight, padLeft, padRight]).map((line) => `  ${line}`.trimEnd()),
  ];
}

function headline({ onGpu }: PlacementFacts["lastLayers"], { model, gpuLayers }: PlacementFacts): string {
  const all = model.moe!.layers.length;
  if (gpuLayers !== null) return "The GPU cannot hold even what every token needs: all experts to the CPU";
  if (onGpu.length === all) return "Everything fits: all experts on the GPU";
  if (onGpu.length === 0) return "No layer's experts fit: all of them to the CPU";
  return `Experts of ${onGpu.length} of ${all} MoE layers on the GPU`;
}

function placement(
  title: string,
  { onGpu, bytes, choiceShare, trafficShare, arguments: args }: PlacementFacts["lastLayers"],
  { contextSize }: PlacementFacts,
  { depth }: Terminal,
): string[] {
  const quoted = args.map((arg) => (/[^\w.:=/-]/.test(arg) ? `"${arg}"` : arg));
  return [
    bold(depth, title),
    `  llama-server -m MODEL --ctx-size ${contextSize} ${quoted.join(" ")}`,
    ...(onGpu.length > 0 ? [`  layers ${ranges(onGpu)}, ${memory(bytes)}`] : []),
    `  ${percent(trafficShare)} of the experts' bytes and ${percent(choiceShare)} of the choices from GPU memory`,
  ];
}

/** What a runtime that keeps single experts at hand would serve from the same memory. */
function cacheLines({ cache, cacheSlots, model }: PlacementFacts, { depth, width }: Terminal): string[] {
  const { experts, topK } = model.moe!;
  const title = bold(
    depth,
    `A cache of ${cacheSlots} of ${experts} experts in every MoE layer, in the same memory`,
  );
  if (cacheSlots < topK) return [title, `  too small: a token needs ${topK} of them at once`];
  if (!cache)
    return [
      title,
      "  how much it serves depends on the order of the tokens: --profile with a capture folder",
    ];
  const rows = [
    [
      "least recently used leaves (LRU)",
      percent(cache.lru),
      `95 %: ${cache.lruInterval.map(percent).join(" to ")}`,
    ],
    ["... empty at the begin of each text", percent(cache.lruCold), ""],
    ["least frequently used leaves (LFU)", percent(cache.lfu), ""],
    ["the best possible (Belady)", percent(cache.belady), ""],
    ["the busiest experts, never changed", percent(cache.pinned), ""],
  ];
  return [
    title,
    ...alignColumns(rows, [padRight, padLeft, padRight]).map((line) => clip(`  ${line}`.trimEnd(), width)),
    dim(
      depth,
      `  of the experts' bytes, token by token over ${plural(cache.texts, "text")} of ${count(cache.tokens)} tokens`,
    ),
    dim(depth, "  llama.cpp has no such cache; runtimes that load experts on demand do"),
  ];
}

/** What the advice cannot do. */
function remarks({ sameSize, bestFit, lastLayers, singleExperts, rows, model }: PlacementFacts): string[] {
  const { topK, experts } = model.moe!;
  const partly = lastLayers.onGpu.length < model.moe!.layers.length;
  return [
    `Every token uses ${topK} of ${experts} experts in every MoE layer, so a byte of one layer's experts is read as ` +
      `often as a byte of another's: ${
        sameSize
          ? "all layers' experts have the same size here, and any choice of as many layers is as good."
          : bestFit
            ? "only how well layers of different sizes fill the memory makes a difference."
            : "layers differ in size here, but no other choice fills the memory noticeably better."
      }`,
    ...(partly && singleExperts !== null && singleExperts > lastLayers.trafficShare
      ? [
          `Measured on ${count(rows)} tokens: the busiest single experts in the same memory would serve ` +
            `${percent(singleExperts)}. llama.cpp cannot place single experts, a layer's are one tensor.`,
        ]
      : []),
    "Compute buffers are estimated; llama.cpp prints the real size when it loads. Leave room for the display.",
  ];
}
