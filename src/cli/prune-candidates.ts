import { pruneCandidates } from "../advice/prune-candidates.ts";
import { openCapture } from "../store/folder-source.ts";
import { pruneView } from "../views/terminal/prune-candidates.ts";
import type { CommandContext } from "./command.ts";

/** `moescope prune-candidates DIR`. */
export async function prune(
  folder: string,
  { limit, json }: { readonly limit: number; readonly json?: boolean },
  { output }: CommandContext,
): Promise<void> {
  const capture = await openCapture(folder);
  const found = pruneCandidates(capture);
  if (json)
    output.print(JSON.stringify({ format: "moescope.prune-candidates/1", model: capture.model, ...found }));
  else output.print(...pruneView(capture, found, limit, output.terminal));
}
