import { checkUsage } from "../analysis/check-usage.ts";
import type { ExpertUsage } from "../analysis/expert-usage.ts";
import { largest } from "../core/extremes.ts";
import type { ModelInfo } from "../core/model-info.ts";

/**
 * How much each expert of a model has to do, as other programs read it: what {@link expertLoad} gives. Its keys are
 * those programs' own.
 */
export interface ExpertLoadTable {
  readonly format: "moescope.expert-load/1";
  readonly model: string;
  /** Tokens counted. */
  readonly tokens: number;
  /** Layers that have experts; the rows of the others are zeros. */
  readonly moe_layers: readonly number[];
  /** `[layers, experts]`: tokens each expert served. */
  readonly logical_count: readonly (readonly number[])[];
}

/**
 * How much each expert has to do, as `[layers, experts]` counts over all layers of the model: what SGLang reads as
 * `--init-expert-location load.json` (its key is `logical_count`), and the `weight` of DeepSeek's
 * `eplb.rebalance_experts` when the rows of dense layers are left out.
 *
 * @throws RequestError `INVALID_ARGUMENT` for what is no usage.
 * @example
 * import { writeFile } from "node:fs/promises";
 * import { expertLoad } from "moescope";
 * import { expertUsage } from "moescope/analysis";
 * await writeFile("load.json", JSON.stringify(expertLoad(capture.model, expertUsage(capture))));
 * // python -m sglang.launch_server --init-expert-location load.json ...
 */
export function expertLoad({ name, layers }: ModelInfo, usage: ExpertUsage): ExpertLoadTable {
  checkUsage("expertLoad", usage);
  const counted = [...usage.layers.values()].map(({ rows }) => rows);
  return {
    format: "moescope.expert-load/1",
    model: name,
    tokens: Math.max(0, largest(counted)),
    moe_layers: [...usage.layers.keys()],
    logical_count: Array.from({ length: layers }, (_, layer) =>
      Array.from(usage.layers.get(layer)?.counts ?? new Float64Array(usage.experts)),
    ),
  };
}
