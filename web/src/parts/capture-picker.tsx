import { captureList, currentSummary } from "../data/captures.ts";
import { go, route } from "../route.ts";
import { plural } from "./numbers.ts";

/** Parameters that mean nothing in another capture. */
const OF_THE_CAPTURE = { sample: null, label: null, phase: null, row: null, x: null, w: null, q: null };

export function CapturePicker() {
  const captures = captureList.value?.captures ?? [];
  const current = currentSummary.value;
  if (captures.length === 0) return <span class="picker" />;
  return (
    <label class="picker">
      <span class="hidden-text">Capture</span>
      <select
        value={current?.id ?? ""}
        onChange={(event) => go(route.peek().view, { ...OF_THE_CAPTURE, c: event.currentTarget.value })}
      >
        {!current && <option value="">choose a capture</option>}
        {captures.map(({ id, name, model, rows, origin }) => (
          <option key={id} value={id}>
            {name} · {model.name} · {plural(rows, "token")}
            {origin === "recording" ? " · recorded here" : ""}
          </option>
        ))}
      </select>
    </label>
  );
}
