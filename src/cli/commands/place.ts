import { advisePlacement } from "../../advice/advise-placement.ts";
import { expertCache } from "../../advice/expert-cache.ts";
import { given } from "../../core/given.ts";
import { placementOf } from "../../views/facts/placement.ts";
import { placementView } from "../../views/terminal/placement.ts";
import type { CommandContext } from "../command.ts";
import { measuredUsage } from "../measured-usage.ts";
import { resolving } from "../run-capture.ts";

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
  const { usage, capture } = await measuredUsage(flags.profile);
  const { vram, context: contextSize, kvType, ubatch: batchSize } = flags;
  const advice = await resolving(context, "Reading the model", (reach) =>
    advisePlacement(model, usage, { vram, ...given({ contextSize, kvType, batchSize }), ...reach }),
  );
  const { output } = context;
  const facts = placementOf(advice, capture && expertCache(capture, advice.cacheSlots, advice.expertBytes));
  if (flags.json) output.print(JSON.stringify(facts));
  else output.print(placementView(facts, output.terminal));
}
