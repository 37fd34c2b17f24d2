import type { CaptureDetails } from "../../../src/server/questions/capture.ts";
import type { ViewProps } from "../app.tsx";
import { categoryColour, OTHER_COLOUR } from "../colour/categories.ts";
import { count } from "../parts/numbers.ts";
import { show } from "../route.ts";
import { filterSample } from "../selection.ts";

/** To a sample by its number. */
export function SampleJump({ capture }: ViewProps) {
  const { samples, sampleLabels, firstRows, rows } = capture;
  const jump = (text: string) => {
    const sample = Number(text);
    if (text === "" || firstRows[sample] === undefined)
      show({ sample: null, x: null, w: null }, { replace: false });
    else {
      const from = firstRows[sample];
      show({ sample, x: from, w: Math.max(1, (firstRows[sample + 1] ?? rows) - from) }, { replace: false });
    }
  };
  if (samples < 2) return null;
  return (
    <label>
      <span>Sample</span>
      {samples <= 500 ? (
        <select value={filterSample.value ?? ""} onChange={(event) => jump(event.currentTarget.value)}>
          <option value="">all {count(samples)}</option>
          {sampleLabels.map((label, sample) => (
            <option key={sample} value={sample}>
              {sample}
              {label === null ? "" : ` · ${label}`}
            </option>
          ))}
        </select>
      ) : (
        <input
          type="number"
          min={0}
          max={samples - 1}
          value={filterSample.value ?? ""}
          placeholder={`0 to ${samples - 1}`}
          onChange={(event) => jump(event.currentTarget.value)}
        />
      )}
    </label>
  );
}

/** A bar for each sample, in its label's colour; neighbouring samples of a label are one where there are many. */
export function sampleGroups({ sampleLabels, firstRows, labels, rows }: CaptureDetails) {
  if (sampleLabels.length > 5000) return [];
  const colour = (label: string | null) =>
    label === null ? OTHER_COLOUR : categoryColour(labels.indexOf(label));
  return sampleLabels.map((label, sample) => ({
    from: firstRows[sample]!,
    to: firstRows[sample + 1] ?? rows,
    colour: colour(label),
    label: label ?? `sample ${sample}`,
  }));
}

/** Whose token a row is. */
export function sampleSaid({ firstRows, sampleLabels }: CaptureDetails, row: number): string {
  let sample = 0;
  while (sample + 1 < firstRows.length && firstRows[sample + 1]! <= row) sample++;
  const label = sampleLabels[sample];
  return `sample ${sample}${label ? ` (${label})` : ""}`;
}
