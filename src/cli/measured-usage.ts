import { statSync } from "node:fs";
import { type ExpertUsage, expertUsage } from "../analysis/expert-usage.ts";
import type { Capture } from "../capture/capture.ts";
import { openCapture } from "../capture/folder/folder-source.ts";
import type { ModelInfo } from "../core/model-info.ts";
import { readProfile } from "./commands/profile.ts";

/** Usage that was measured before, and of what. */
interface MeasuredUsage {
  readonly usage: ExpertUsage;
  readonly model: ModelInfo;
  readonly engine: string;
  /** `null`: a profile, which does not say in what order experts were used. */
  readonly capture: Capture | null;
}

/** From a capture folder or the JSON of `moescope profile`. */
export async function measuredUsage(path: string): Promise<MeasuredUsage> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    const capture = await openCapture(path);
    return { usage: expertUsage(capture), model: capture.model, engine: capture.engine.kind, capture };
  }
  const { results, model, engine } = await readProfile(path);
  return { usage: results.usage, model, engine: engine.kind, capture: null };
}
