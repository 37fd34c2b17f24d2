import { useMemo } from "preact/hooks";
import type { ViewProps } from "../app.tsx";
import { matrixCells } from "../canvas/cells.ts";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { ColourScale } from "../colour/palette.ts";
import { routedLayers } from "../data/captures.ts";
import { useAnalysis } from "../data/routing.ts";
import { currentExpert } from "../parts/expert-steps.tsx";
import { count, plural } from "../parts/numbers.ts";
import { ErrorNote, Skeleton } from "../parts/states.tsx";
import { usageText } from "../parts/usage-scale.ts";
import { show } from "../route.ts";
import { chosenExpert, hovered } from "../selection.ts";

/** One layer, labels x experts: what its experts are for. */
export function LabelMap({ capture, scale }: ViewProps & { readonly scale: ColourScale }) {
  const analysis = useAnalysis(capture);
  const layers = routedLayers(capture);
  const { layer } = currentExpert(layers, capture.model.moe!.experts);
  const labels = capture.labels;
  const byLabel = analysis.data?.layers.find((of) => of.layer === layer)?.usage.byLabel;
  const map = useMemo(() => {
    if (!byLabel || !analysis.data) return null;
    const { experts, fairShare } = analysis.data;
    const shown = byLabel.filter(({ label, rows }) => label !== null && rows > 0);
    const values = new Float32Array(shown.length * experts);
    shown.forEach(({ counts, rows }, line) => {
      for (let e = 0; e < experts; e++) values[line * experts + e] = counts[e]! / rows / fairShare;
    });
    return { shown, experts, values, cells: matrixCells(values, shown.length, experts, scale) };
  }, [byLabel, scale]);
  const rows = useMemo(
    () => ({ name: "label", label: (line: number) => map?.shown[line]?.label ?? "", labelWidth: 76 }),
    [map],
  );
  const columns = useMemo(() => ({ name: "expert", label: String }), []);
  const cellText = useMemo(() => usageText(scale), [scale]);
  if (labels.length < 2) return null;
  const height = Math.min(420, (map?.shown.length ?? labels.length) * 28) + 24;
  const hover = hovered.value;
  return (
    <>
      <div class="strip-head">
        <h2>Layer {layer} by label</h2>
        <span class="muted small">the same scale; choose a cell above for another layer</span>
      </div>
      {map ? (
        <Heatmap
          label={`Usage of layer ${layer} by label, labels by experts`}
          cells={map.cells}
          rows={rows}
          columns={columns}
          zoom="none"
          keyboard={false}
          height={height}
          cellText={cellText}
          cursor={null}
          chosen={chosenExpert.value === null ? null : { column: chosenExpert.value }}
          hovered={hover && { row: -1, column: hover.layer === layer ? hover.expert : -1 }}
          onHover={(cell) => {
            hovered.value = cell && { layer, expert: cell.column };
          }}
          onPick={({ column }) => show({ layer, expert: column }, { replace: false })}
          describe={({ row, column }) => {
            const { label, counts, rows: of } = map.shown[row]!;
            return (
              <>
                <strong>
                  Expert {column}, {label}
                </strong>
                <p>{map.values[row * map.experts + column]!.toFixed(2)} × fair share</p>
                <p class="muted">
                  {count(counts[column]!)} of {plural(of, "token")}
                </p>
              </>
            );
          }}
          sayCell={() => ""}
        />
      ) : analysis.state === "error" ? (
        <ErrorNote error={analysis.error} retry={analysis.retry} />
      ) : (
        <Skeleton height={height} />
      )}
    </>
  );
}
