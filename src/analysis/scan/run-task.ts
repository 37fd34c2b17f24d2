import type { GroupMeasure } from "../measures/measure.ts";
import { scanGroup } from "./scan-group.ts";
import { type ScanWork, scanLayer } from "./scan-layer.ts";
import type { ScanTask } from "./schedule.ts";

/** Do a part of a scan. */
export function runTask(work: ScanWork, task: ScanTask): unknown {
  if (task.kind === "layer") return scanLayer(work, task.layer, task.kept);
  const measure = work.measures.find(({ name }) => name === task.measure) as GroupMeasure;
  return scanGroup(work, measure, task.group, task.experts);
}
