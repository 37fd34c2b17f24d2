import type { CaptureSummary } from "../../../src/server/captures/summary.ts";
import type { ViewProps } from "../app.tsx";
import { captureList } from "../data/captures.ts";
import { EmptyNote } from "../parts/states.tsx";
import { param, show } from "../route.ts";
import { filterLabel, filterSample, otherLabel, otherSample } from "../selection.ts";
import { Maps } from "./compare-maps.tsx";
import { TokenByToken } from "./compare-tokens.tsx";

const otherId = param("b");

/** Two captures, or two kinds of text of one, side by side. */
export function CompareView({ capture }: ViewProps) {
  const others = captureList.value?.captures ?? [];
  const other = others.find(({ id }) => id === otherId.value) ?? capture;
  const same =
    other.id === capture.id &&
    filterLabel.value === otherLabel.value &&
    filterSample.value === otherSample.value;
  return (
    <section class="view">
      <div class="view-head">
        <h1>Compare</h1>
      </div>
      <div class="sides">
        <SideChoice
          name="A"
          captures={others}
          capture={capture}
          label={filterLabel.value}
          sample={filterSample.value}
          keys={{ capture: "c", label: "label", sample: "sample" }}
        />
        <SideChoice
          name="B"
          captures={others}
          capture={other}
          label={otherLabel.value}
          sample={otherSample.value}
          keys={{ capture: "b", label: "blabel", sample: "bsample" }}
        />
      </div>
      {same ? (
        <EmptyNote>
          A and B are the same. Choose another capture for B, such as the same prompts through a quantised
          model
          {capture.labels.length > 1 ? ", or another label of this one:" : "."}
          {capture.labels.length > 1 && (
            <p>
              <button
                type="button"
                class="primary"
                onClick={() =>
                  show({ label: capture.labels[0]!, blabel: capture.labels[1]! }, { replace: false })
                }
              >
                Compare {capture.labels[0]} with {capture.labels[1]}
              </button>
            </p>
          )}
        </EmptyNote>
      ) : (
        <Maps a={capture} b={other} />
      )}
      {other.id !== capture.id &&
        filterLabel.value === null &&
        otherLabel.value === null &&
        filterSample.value === null && <TokenByToken a={capture} b={other} />}
    </section>
  );
}

interface SideProps {
  readonly name: string;
  readonly captures: readonly CaptureSummary[];
  readonly capture: CaptureSummary;
  readonly label: string | null;
  readonly sample: number | null;
  readonly keys: { readonly capture: string; readonly label: string; readonly sample: string };
}

function SideChoice({ name, captures, capture, label, sample, keys }: SideProps) {
  return (
    <fieldset class="side-choice">
      <legend>{name}</legend>
      <label>
        <span class="hidden-text">Capture {name}</span>
        <select
          value={capture.id}
          onChange={(event) =>
            show(
              { [keys.capture]: event.currentTarget.value, [keys.label]: null, [keys.sample]: null },
              { replace: false },
            )
          }
        >
          {captures.map((of) => (
            <option key={of.id} value={of.id}>
              {of.name}
            </option>
          ))}
        </select>
      </label>
      {capture.labels.length > 0 && (
        <label>
          <span class="hidden-text">Label of {name}</span>
          <select
            value={label ?? ""}
            onChange={(event) => show({ [keys.label]: event.currentTarget.value }, { replace: false })}
          >
            <option value="">all labels</option>
            {capture.labels.map((of) => (
              <option key={of}>{of}</option>
            ))}
          </select>
        </label>
      )}
      <label class="inline">
        <span>sample</span>
        <input
          type="number"
          min={0}
          max={capture.samples - 1}
          placeholder="all"
          value={sample ?? ""}
          onChange={(event) => show({ [keys.sample]: event.currentTarget.value }, { replace: false })}
        />
      </label>
    </fieldset>
  );
}
