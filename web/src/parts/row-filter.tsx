import type { CaptureDetails } from "../../../src/server/questions/capture.ts";
import type { RowFilter } from "../data/routing.ts";
import { show } from "../route.ts";
import { filterLabel, filterPhase, filterSample } from "../selection.ts";
import { count } from "./numbers.ts";

/** Samples that a list still can show; more are typed. */
const MAX_LISTED = 500;

export const currentFilter = (): RowFilter => ({
  label: filterLabel.value,
  phase: filterPhase.value as RowFilter["phase"],
  sample: filterSample.value,
});

/** Which rows a view is about: one label, one phase, one sample. */
export function RowFilterBar({ capture }: { readonly capture: CaptureDetails }) {
  const { labels, samples, sampleLabels } = capture;
  const label = filterLabel.value;
  const shown = sampleLabels
    .map((of, sample) => ({ of, sample }))
    .filter(({ of }) => label === null || of === label);
  const generated = capture.outputs.some(({ tokens }) => tokens > 0);
  return (
    <div class="filters">
      {labels.length > 0 && (
        <label>
          <span>Label</span>
          <select
            value={label ?? ""}
            onChange={(event) => show({ label: event.currentTarget.value, sample: null }, { replace: false })}
          >
            <option value="">all</option>
            {labels.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      )}
      {generated && (
        <label>
          <span>Phase</span>
          <select
            value={filterPhase.value ?? ""}
            onChange={(event) => show({ phase: event.currentTarget.value }, { replace: false })}
          >
            <option value="">prompt and generated</option>
            <option value="prompt">prompt</option>
            <option value="generated">generated</option>
          </select>
        </label>
      )}
      {samples > 1 && samples <= MAX_LISTED && (
        <label>
          <span>Sample</span>
          <select
            value={filterSample.value ?? ""}
            onChange={(event) => show({ sample: event.currentTarget.value }, { replace: false })}
          >
            <option value="">all {count(shown.length)}</option>
            {shown.map(({ of, sample }) => (
              <option key={sample} value={sample}>
                {sample}
                {of === null ? "" : ` · ${of}`}
              </option>
            ))}
          </select>
        </label>
      )}
      {samples > MAX_LISTED && (
        <label>
          <span>Sample</span>
          <input
            type="number"
            min={0}
            max={samples - 1}
            placeholder={`0 to ${samples - 1}`}
            value={filterSample.value ?? ""}
            onChange={(event) => show({ sample: event.currentTarget.value }, { replace: false })}
          />
        </label>
      )}
    </div>
  );
}
