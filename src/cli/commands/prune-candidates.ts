import { pruneCandidates } from "../../advice/prune-candidates.ts";
import { openCapture } from "../../capture/folder/folder-source.ts";
import { pruneFactsOf } from "../../views/facts/prune-candidates.ts";
import { pruneView } from "../../views/terminal/prune-candidates.ts";
import type { CommandContext } from "../command.ts";

/** `moescope prune-candidates DIR`. */
export async function prune(
  folder: string,
  { limit, json }: { readonly limit: number; readonly json?: boolean },
  { output }: CommandContext,
): Promise<void> {
  const capture = await openCapture(folder);
  const facts = pruneFactsOf(capture, pruneCandidates(capture));
  if (json) output.print(JSON.stringify(facts));
  else output.print(pruneView(facts, limit, output.terminal));
}
