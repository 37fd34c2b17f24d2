import type { Capture } from "../capture/capture.ts";
import { RequestError } from "../errors.ts";
import type { RowFilter } from "./api/values.ts";

/**
 * The rows that meet the conditions, ascending; `null`: all of them.
 *
 * @throws RequestError `INVALID_ARGUMENT` for a sample or label the capture has not.
 */
export function rowsWhere(capture: Capture, { label, sample, phase }: RowFilter): Uint32Array | null {
  if (label === undefined && sample === undefined && phase === undefined) return null;
  const { rows, samples } = capture;
  if (sample !== undefined && sample >= samples.length)
    throw new RequestError("INVALID_ARGUMENT", `no sample ${sample}; there are ${samples.length}`);
  if (label !== undefined && !samples.some((of) => of.label === label))
    throw new RequestError("INVALID_ARGUMENT", `no sample has the label ${JSON.stringify(label)}`);
  const wanted = samples.map(
    (of, index) => (sample ?? index) === index && (label === undefined || of.label === label),
  );
  const prompt = phase === "prompt";
  const kept = new Uint32Array(rows.length);
  let count = 0;
  for (let row = 0; row < rows.length; row++) {
    const of = rows.sample[row]!;
    if (!wanted[of]) continue;
    // A row is of the prompt as long as its position is.
    if (phase !== undefined && rows.position[row]! < samples[of]!.promptTokens !== prompt) continue;
    kept[count++] = row;
  }
  return kept.subarray(0, count);
}
