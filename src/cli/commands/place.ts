import { statSync } from "node:fs";
import { advisePlacement } from "../../advice/advise-placement.ts";
import { expertCache } from "../../advice/expert-cache.ts";
import { type ExpertUsage, expertUsage } from "../../analysis/expert-usage.ts";
import type { Capture } from "../../capture/capture.ts";
import { openCapture } from "../../capture/folder/folder-source.ts";
import { given } from "../../core/given.ts";
import { placementOf } from "../../views/facts/placement.ts";
import { placementView } from "../../views/terminal/placement.ts";
import type { CommandContext } from "../command.ts";
import { resolving } from "../run-capture.ts";
import { readProfile } from "./profile.ts";

/** The options of `moescope place`, parsed. */
export interface PlaceFlags {
  readonly profile: string;
  /** Bytes. */
  readonly vram: number;
  readonly context?: number;
  readonly kvType?: "f32" | "f16" | "q8_0";
  readonly ubatch?: number;
  readonly json?: boolean;
}

/** `moescope place MODEL --profile DIR|FILE --vram 12GiB`. */
export async function place(model: string, flags: PlaceFlags, context: CommandContext): Promise<void> {
  const { usage, capture } = await measured(flags.profile);
  const { vram, context: contextSize, kvType, ubatch: batchSize } = flags;
  const advice = await resolving(context, "Reading the model", (reach) =>
    advisePlacement(model, usage, { vram, ...given({ contextSize, kvType, batchSize }), ...reach }),
  );
  const { output } = context;
  const facts = placementOf(advice, capture && expertCache(capture, advice.cacheSlots, advice.expertBytes));
  if (flags.json) output.print(JSON.stringify(facts));
  else output.print(placementView(facts, output.terminal));
}

/** From a capture folder or the JSON of `moescope profile`, which does not say in what order experts were used. */
async function measured(path: string): Promise<{ usage: ExpertUsage; capture: Capture | null }> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    const capture = await openCapture(path);
    return { usage: expertUsage(capture), capture };
  }
  return { usage: (await readProfile(path)).results.usage, capture: null };
}
