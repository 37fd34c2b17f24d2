import { useMemo, useState } from "preact/hooks";
import type { TokenEvent } from "../../../src/server/jobs/schemas.ts";
import { matrixCells } from "../canvas/cells.ts";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { HeatmapView } from "../canvas/heatmap-view.ts";
import { type ColourScale, hexPixel, VIRIDIS_RAMP } from "../colour/palette.ts";
import type { LiveRun } from "../data/live-run.ts";
import { RampLegend } from "../parts/legend.tsx";
import { amount } from "../parts/numbers.ts";
import { Term } from "../parts/term.tsx";
import { UsageLegend } from "../parts/usage-legend.tsx";
import { usageScale } from "../parts/usage-scale.ts";
import { show } from "../route.ts";
import { hovered } from "../selection.ts";
import { isDark, themeVersion } from "../theme.ts";
import { mapHeight } from "./usage.tsx";

const FADE = 0.72;
/** A token's light is gone after so many others. */
const TRAIL = 8;

/** All experts: the ones of the token in view, with the trail of those before it, or their use so far. */
export function LiveMap({
  run,
  focus,
  onView,
}: {
  readonly run: LiveRun;
  readonly focus: number | null;
  readonly onView: (view: HeatmapView) => void;
}) {
  const { layers, experts, topK, tokens } = run;
  const [whole, setWhole] = useState(false);
  const dark = isDark();
  const scale = useMemo<ColourScale>(
    () =>
      whole
        ? usageScale(dark)
        : { ramp: VIRIDIS_RAMP, min: 0, max: 1, missing: 0, zero: hexPixel(dark ? "#1e2226" : "#f1f1ee") },
    [whole, dark, themeVersion.value],
  );
  const values = useMemo(
    () => (whole ? usageSoFar(run) : glow(run, focus)),
    [whole, whole ? tokens : focus, whole || focus === null ? 0 : tokens[focus], layers],
  );
  const cells = useMemo(() => matrixCells(values, layers.length, experts, scale), [values, scale]);
  const rows = useMemo(() => ({ name: "layer", label: (line: number) => `${layers[line]}` }), [layers]);
  const columns = useMemo(() => ({ name: "expert", label: String }), []);
  const hover = hovered.value;
  return (
    <div class="live-map">
      <div class="legends">
        <div class="segments" role="group" aria-label="What the map shows">
          <button type="button" aria-pressed={!whole} onClick={() => setWhole(false)}>
            this token
          </button>
          <button type="button" aria-pressed={whole} onClick={() => setWhole(true)}>
            all so far
          </button>
        </div>
        {whole ? (
          <UsageLegend scale={scale} />
        ) : (
          <RampLegend
            scale={scale}
            title={<Term name="weight">Weight</Term>}
            unit="fading from token to token"
          />
        )}
      </div>
      <Heatmap
        label="Experts of this run, layers by experts"
        cells={cells}
        rows={rows}
        columns={columns}
        zoom="none"
        height={Math.min(360, mapHeight(layers.length))}
        cursor={null}
        chosen={null}
        hovered={
          hover?.layer === undefined ? null : { row: layers.indexOf(hover.layer), column: hover.expert }
        }
        onHover={(cell) => {
          hovered.value = cell && { layer: layers[cell.row]!, expert: cell.column };
        }}
        onPick={({ row, column }) => show({ layer: layers[row]!, expert: column })}
        onView={onView}
        describe={({ row, column }) => (
          <>
            <strong>
              Layer {layers[row]}, expert {column}
            </strong>
            <p>
              {whole
                ? `${amount(values[row * experts + column]!)} × fair share (top-${topK})`
                : weightSaid(tokens[focus ?? 0], row, column)}
            </p>
          </>
        )}
        sayCell={({ row, column }) =>
          `Layer ${layers[row]}, expert ${column}: ${amount(values[row * experts + column]!)}`
        }
      />
    </div>
  );
}

function weightSaid(token: TokenEvent | undefined, line: number, expert: number): string {
  const rank = token?.experts[line]?.indexOf(expert) ?? -1;
  if (rank < 0) return "not used by this token";
  const weight = token!.weights[line]?.[rank];
  return weight === undefined ? "used by this token" : `weight ${weight.toFixed(3)}`;
}

/** Weights of the token in focus, `[layers, experts]`, and of those just before it, fainter. */
function glow({ layers, experts, topK, tokens }: LiveRun, focus: number | null): Float32Array {
  const values = new Float32Array(layers.length * experts);
  if (focus === null) return values;
  for (let at = Math.max(0, focus - TRAIL); at <= focus; at++) {
    const fade = FADE ** (focus - at);
    const token = tokens[at]!;
    token.experts.forEach((ids, line) => {
      ids.forEach((expert, rank) => {
        const weight = token.weights[line]![rank] ?? 1 / topK;
        const place = line * experts + expert;
        values[place] = Math.max(values[place]!, weight * fade);
      });
    });
  }
  return values;
}

/** Use of each expert over its fair share, `[layers, experts]`. */
function usageSoFar({ layers, experts, topK, tokens }: LiveRun): Float32Array {
  const values = new Float32Array(layers.length * experts);
  const each = experts / topK / Math.max(1, tokens.length);
  for (const token of tokens)
    token.experts.forEach((ids, line) => {
      for (const expert of ids) values[line * experts + expert]! += each;
    });
  return values;
}
