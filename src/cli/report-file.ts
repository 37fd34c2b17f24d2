import { openCapture } from "../capture/folder/folder-source.ts";
import { given } from "../core/given.ts";
import { safeText } from "../core/safe-text.ts";
import { replaceFile } from "../formats/atomic-file.ts";
import { reportHtml } from "../views/html/report.ts";
import { bytes } from "../views/numbers.ts";
import { dim } from "../views/terminal/parts/paint.ts";
import type { CommandContext } from "./command.ts";
import { analyzeKept } from "./kept.ts";

/** The options of `moescope report`, parsed. */
export interface ReportFlags {
  readonly out: string;
  readonly title?: string;
  readonly threads?: number;
  readonly permutations?: number;
  readonly seed?: number;
  readonly cache: boolean;
}

/** `moescope report DIR -o report.html`. */
export async function report(
  folder: string,
  { out, title, cache, ...tests }: ReportFlags,
  context: CommandContext,
): Promise<void> {
  const capture = await openCapture(folder);
  const analysis = await analyzeKept(capture, given(tests), cache, context);
  const { output } = context;
  const page = Buffer.from(reportHtml(analysis, title === undefined ? {} : { title }));
  await replaceFile(out, [page]);
  output.print(`Saved to ${safeText(out)} (${bytes(page.length)}, opens without a network)`);
  output.print(
    dim(output.terminal.depth, `Next: open ${safeText(out)} in a browser, or send it to somebody`),
  );
}
