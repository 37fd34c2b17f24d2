import { placeOnRanks } from "../../advice/expert-parallel.ts";
import { given } from "../../core/given.ts";
import { safeText } from "../../core/safe-text.ts";
import { replaceFile } from "../../formats/atomic-file.ts";
import { rankPlacementOf, sglangLocation } from "../../views/facts/rank-placement.ts";
import { rankPlacementView } from "../../views/terminal/rank-placement.ts";
import type { CommandContext } from "../command.ts";
import { measuredUsage } from "../measured-usage.ts";

/** The options of `moescope eplb`, parsed. */
export interface EplbFlags {
  readonly ranks: number;
  readonly nodes?: number;
  readonly groups?: number;
  readonly redundant?: number;
  readonly out?: string;
  readonly json?: boolean;
}

/** `moescope eplb DIR|FILE --ranks 8`. */
export async function eplb(
  profile: string,
  { ranks, nodes, groups, redundant = 0, out, json }: EplbFlags,
  { output }: CommandContext,
): Promise<void> {
  const { usage, model, engine } = await measuredUsage(profile);
  const found = placeOnRanks(usage, {
    replicas: usage.experts + redundant,
    ranks,
    ...given({ nodes, groups }),
  });
  const facts = rankPlacementOf(model, found);
  if (out !== undefined) await replaceFile(out, [Buffer.from(`${JSON.stringify(sglangLocation(facts))}\n`)]);
  if (json) output.print(JSON.stringify(facts));
  else {
    output.print(rankPlacementView(facts, engine, output.terminal));
    if (out !== undefined) output.print("", `Saved to ${safeText(out)}`);
  }
}
