import { useMemo } from "preact/hooks";
import { largest } from "../../../src/core/extremes.ts";
import type { SimilarityFacts } from "../../../src/views/facts/similarity.ts";
import type { ViewProps } from "../app.tsx";
import { matrixCells } from "../canvas/cells.ts";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { HeatmapView } from "../canvas/heatmap-view.ts";
import { DIVERGING_RAMP, hexPixel } from "../colour/palette.ts";
import { routedLayers } from "../data/captures.ts";
import { useSimilarity } from "../data/routing.ts";
import { ExpertName } from "../parts/expert-name.tsx";
import { RampLegend } from "../parts/legend.tsx";
import { amount, count } from "../parts/numbers.ts";
import { ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { go } from "../route.ts";
import { hovered } from "../selection.ts";
import { isDark } from "../theme.ts";
import { mapHeight } from "./usage.tsx";

const NEAREST = 6;

interface AlikeProps extends ViewProps {
  readonly layer: number;
  readonly expert: number;
  readonly onView: (view: HeatmapView) => void;
}

/** Experts of other layers by how far they serve the same tokens. */
export function ExpertsAlike({ capture, layer, expert, onView }: AlikeProps) {
  const similarity = useSimilarity(capture, layer, expert);
  const { data } = similarity;
  const height = Math.min(360, mapHeight(routedLayers(capture).length));
  return (
    <div class="card span-all">
      <h2>
        Experts of other layers that serve the same tokens (<Term name="similarity">similarity</Term>)
      </h2>
      {similarity.state === "error" ? (
        <ErrorNote error={similarity.error} retry={similarity.retry} />
      ) : !data ? (
        <Skeleton height={height} />
      ) : data.used === 0 ? (
        <p class="muted">It served no token of this capture.</p>
      ) : (
        <SimilarityMap data={data} layer={layer} expert={expert} height={height} onView={onView} />
      )}
    </div>
  );
}

interface MapProps extends Pick<AlikeProps, "layer" | "expert" | "onView"> {
  readonly data: SimilarityFacts;
  readonly height: number;
}

function SimilarityMap({ data, layer, expert, height, onView }: MapProps) {
  const dark = isDark();
  const { rows, used } = data;
  const experts = data.layers[0]!.phi.length;
  const { values, cells, scale } = useMemo(() => {
    // The own layer's experts never serve a token twice, which says nothing of what they serve.
    const values = Float32Array.from(
      data.layers.flatMap((of) =>
        of.phi.map((phi) => (of.layer === layer || phi === null ? Number.NaN : phi)),
      ),
    );
    const most = Math.max(0.1, largest(values.filter((value) => !Number.isNaN(value)).map(Math.abs)));
    const end = Math.ceil(most * 10) / 10;
    const scale = {
      ramp: DIVERGING_RAMP,
      min: -end,
      max: end,
      missing: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
    };
    return { values, scale, cells: matrixCells(values, data.layers.length, experts, scale) };
  }, [data, layer, dark]);
  const rowAxis = useMemo(
    () => ({ name: "layer", label: (line: number) => `${data.layers[line]?.layer ?? ""}` }),
    [data],
  );
  const columnAxis = useMemo(() => ({ name: "expert", label: String }), []);
  const lineOf = (of: number | undefined) => {
    const line = data.layers.findIndex((one) => one.layer === of);
    return line < 0 ? undefined : line;
  };
  const said = (line: number, other: number) => {
    const { shared, counts } = data.layers[line]!;
    const chance = (used * counts[other]!) / rows;
    return `${count(shared[other]!)} of its ${count(used)} tokens; by chance ${amount(chance)}`;
  };
  const nearest = Array.from(values, (value, i) => ({ value, line: Math.floor(i / experts), e: i % experts }))
    .filter(({ value }) => value > 0)
    .sort((a, b) => b.value - a.value)
    .slice(0, NEAREST);
  return (
    <div class="with-side narrow">
      <div class="strip-block">
        <RampLegend scale={scale} title="SimilarityFacts φ" unit="" mark={{ value: 0, text: "chance" }} />
        <Heatmap
          label="SimilarityFacts to experts of other layers, layers by experts"
          cells={cells}
          rows={rowAxis}
          columns={columnAxis}
          zoom="none"
          keyboard={false}
          height={height}
          cursor={null}
          chosen={{ row: lineOf(layer), column: expert }}
          hovered={hovered.value && { row: lineOf(hovered.value.layer), column: hovered.value.expert }}
          onHover={(cell) => {
            hovered.value = cell && { layer: data.layers[cell.row]!.layer, expert: cell.column };
          }}
          onPick={({ row, column }) => go("expert", { layer: data.layers[row]!.layer, expert: column })}
          onView={onView}
          describe={({ row, column }) => {
            const value = values[row * experts + column]!;
            return (
              <>
                <strong>
                  {data.layers[row]!.layer === layer
                    ? "its own layer: see partners"
                    : Number.isNaN(value)
                      ? "never used"
                      : `similarity ${value.toFixed(3)}`}
                </strong>
                <p>
                  Layer {data.layers[row]!.layer}, expert {column}
                </p>
                <p class="muted">shared: {said(row, column)}</p>
              </>
            );
          }}
          sayCell={() => ""}
        />
        <p class="axis-names muted small">experts across, layers down</p>
      </div>
      {nearest.length === 0 ? (
        <p class="muted">No expert of another layer shares its tokens more than chance gives.</p>
      ) : (
        <ol class="list">
          {nearest.map(({ value, line, e }) => (
            <li key={`${line}/${e}`}>
              <button
                type="button"
                class="row"
                title={said(line, e)}
                onClick={() => go("expert", { layer: data.layers[line]!.layer, expert: e })}
              >
                <ExpertName layer={data.layers[line]!.layer} expert={e} short />
                <span class="muted">{value.toFixed(2)}</span>
              </button>
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}
