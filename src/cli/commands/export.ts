import { openCapture } from "../../capture/folder/folder-source.ts";
import { safeText } from "../../core/safe-text.ts";
import { exportCapture } from "../../export/export-capture.ts";
import type { ExportFormat } from "../../export/formats.ts";
import type { CommandContext } from "../command.ts";

/** `moescope export DIR --format FORMAT -o PATH`. */
export async function exportFolder(
  folder: string,
  { format, out }: { readonly format: ExportFormat; readonly out: string },
  { output }: CommandContext,
): Promise<void> {
  const capture = await openCapture(folder);
  if (!capture.complete)
    output.note(`moescope: ${safeText(folder)} is not complete; what it has is exported`);
  const written = await exportCapture(capture, format, out);
  output.print(written.map((path) => `Saved to ${safeText(path)}`));
}
