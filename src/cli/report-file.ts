import { analyzeCapture } from "../analysis/analyze.ts";
import { openCapture } from "../capture/folder/folder-source.ts";
import { given } from "../core/given.ts";
import { safeText } from "../core/safe-text.ts";
import { replaceFile } from "../formats/atomic-file.ts";
import { reportHtml } from "../views/html/report.ts";
import { bytes } from "../views/numbers.ts";
import { dim } from "../views/terminal/parts/paint.ts";
import type { CommandContext } from "./command.ts";

/** The options of `moescope report`, parsed. */
export interface ReportFlags {
  readonly out: string;
  readonly title?: string;
  readonly threads?: number;
  readonly permutations?: number;
  readonly seed?: number;
}

/** `moescope report DIR -o report.html`. */
export async function report(
  folder: string,
  { out, title, ...tests }: ReportFlags,
  { output, signal }: CommandContext,
): Promise<void> {
  const capture = await openCapture(folder);
  const progress = output.progress();
  const analysis = await analyzeCapture(capture, {
    ...given(tests),
    signal,
    onProgress: ({ done, total }) => progress.update("Analysing", done, total, "parts"),
  }).finally(() => progress.done());
  const page = Buffer.from(reportHtml(analysis, title === undefined ? {} : { title }));
  await replaceFile(out, [page]);
  output.print(`Saved to ${safeText(out)} (${bytes(page.length)}, opens without a network)`);
  output.print(
    dim(output.terminal.depth, `Next: open ${safeText(out)} in a browser, or send it to somebody`),
  );
}
