import { type ExpertUsage, expertUsage } from "../../analysis/expert-usage.ts";
import { chosenRows, hasStream, rowChunks } from "../../analysis/rows/chosen.ts";
import { usageOfRows } from "../../analysis/usage-of-rows.ts";
import type { Capture } from "../../capture/capture.ts";
import { RequestError } from "../../core/errors.ts";
import type { RowFilter } from "../host/schemas.ts";

/**
 * The rows that meet the conditions, ascending; `null`: all of them.
 *
 * @throws RequestError `INVALID_ARGUMENT` for a sample, label or expert the capture has not, `UNKNOWN_LAYER`.
 */
export function rowsWhere(capture: Capture, { layer, expert, ...labels }: RowFilter): Uint32Array | null {
  const rows = labelledWhere(capture, labels);
  if (layer === undefined && expert === undefined) return rows;
  if (layer === undefined || expert === undefined)
    throw new RequestError("INVALID_ARGUMENT", "layer and expert belong together");
  requireRouting(capture, layer, expert);
  const used = usedBy(capture, layer, expert);
  return (rows ?? Uint32Array.from(used, (_, row) => row)).filter((row) => used[row] === 1);
}

/** Usage of each expert in the rows that meet the conditions. */
export function usageWhere(capture: Capture, filter: RowFilter): ExpertUsage {
  const rows = rowsWhere(capture, filter);
  return rows ? usageOfRows(capture, rows) : expertUsage(capture);
}

/** @throws RequestError naming what there is. */
export function requireRouting(capture: Capture, layer: number, expert: number | null): void {
  const { moe } = capture.model;
  if (!hasStream(capture, "expert_ids", layer) && !hasStream(capture, "router_logits", layer))
    throw new RequestError("UNKNOWN_LAYER", `the capture has no routing of layer ${layer}`);
  if (expert !== null && expert >= moe!.experts)
    throw new RequestError("INVALID_ARGUMENT", `no expert ${expert}; there are ${moe!.experts}`);
}

/** 1 for each row that used the expert. */
function usedBy(capture: Capture, layer: number, expert: number): Uint8Array {
  const used = new Uint8Array(capture.rows.length);
  for (const [from, to] of rowChunks(used.length)) {
    const { ids } = chosenRows(capture, layer, from, to);
    const topK = ids.length / (to - from);
    ids.forEach((id, i) => {
      if (id === expert) used[from + Math.floor(i / topK)] = 1;
    });
  }
  return used;
}

/** The rows of some samples and a phase; `null`: all. */
function labelledWhere(
  capture: Capture,
  { label, sample, phase }: Pick<RowFilter, "label" | "sample" | "phase">,
): Uint32Array | null {
  if (label === undefined && sample === undefined && phase === undefined) return null;
  const { rows, samples } = capture;
  if (sample !== undefined && sample >= samples.length)
    throw new RequestError("INVALID_ARGUMENT", `no sample ${sample}; there are ${samples.length}`);
  if (label !== undefined && !samples.some((of) => of.label === label))
    throw new RequestError("INVALID_ARGUMENT", `no sample has the label ${JSON.stringify(label)}`);
  const wanted = samples.map(
    (of, index) => (sample ?? index) === index && (label === undefined || of.label === label),
  );
  const prompt = phase === "prompt";
  const kept = new Uint32Array(rows.length);
  let count = 0;
  for (let row = 0; row < rows.length; row++) {
    const of = rows.sample[row]!;
    if (!wanted[of]) continue;
    // A row is of the prompt as long as its position is.
    if (phase !== undefined && rows.position[row]! < samples[of]!.promptTokens !== prompt) continue;
    kept[count++] = row;
  }
  return kept.subarray(0, count);
}
