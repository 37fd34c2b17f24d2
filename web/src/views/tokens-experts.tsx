import { useEffect, useMemo } from "preact/hooks";
import type { MapFacts as Facts } from "../../../src/server/questions/map.ts";
import type { ViewProps } from "../app.tsx";
import { Heatmap } from "../canvas/heatmap.tsx";
import { TiledCells } from "../canvas/tiled-cells.ts";
import type { Span } from "../canvas/viewport.ts";
import { hexPixel, VIRIDIS_RAMP } from "../colour/palette.ts";
import { loadExpertTile } from "../data/routing.ts";
import { RampLegend } from "../parts/legend.tsx";
import { count, percent } from "../parts/numbers.ts";
import { Term } from "../parts/term.tsx";
import { show } from "../route.ts";
import { chosenExpert, hovered } from "../selection.ts";
import { isDark } from "../theme.ts";
import { pixelOf } from "./token-measures.ts";

interface ExpertsProps extends ViewProps {
  readonly facts: Facts;
  readonly layer: number;
  readonly span: Span;
  readonly onSpan: (span: Span, whole: boolean) => void;
  readonly row: number | null;
}

/** Token x expert for one layer: the weight each expert had. */
export function ExpertsOfLayer({ capture, facts, layer, span, onSpan, row }: ExpertsProps) {
  const { experts, rows } = facts;
  const dark = isDark();
  const topK = capture.model.moe?.topK ?? 1;
  const scale = useMemo(
    () => ({
      ramp: VIRIDIS_RAMP,
      min: 0,
      max: 1,
      missing: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
      zero: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
    }),
    [dark],
  );
  const cells = useMemo(
    () =>
      new TiledCells({
        rows: experts,
        columns: rows,
        levels: facts.levels,
        tileTexels: facts.tileCells,
        load: (level, tile, signal) => loadExpertTile(capture, layer, level, tile, signal),
        colour: pixelOf({ kind: "amount", scale, unit: "", open: false }, dark),
      }),
    [capture, facts, layer, scale],
  );
  useEffect(() => () => cells.close(), [cells]);
  const rowAxis = useMemo(() => ({ name: "expert", label: String }), []);
  const columnAxis = useMemo(() => ({ name: "token", label: count, labelWidth: 56 }), []);
  const hover = hovered.value;
  const expert = chosenExpert.value;
  const height = Math.min(320, Math.max(96, experts * 12)) + 24;
  return (
    <figure class="sub-map">
      <figcaption class="strip-head">
        <h2>
          Experts of layer {layer}: <Term name="weight">weight</Term> of each
        </h2>
        <RampLegend scale={scale} title="" unit="weight" />
      </figcaption>
      <Heatmap
        label={`Weights of the experts of layer ${layer}, experts by tokens`}
        cells={cells}
        rows={rowAxis}
        columns={columnAxis}
        zoom="columns"
        height={height}
        span={span}
        onSpan={onSpan}
        keyboard={false}
        cursor={null}
        chosen={
          row === null && expert === null ? null : { row: expert ?? undefined, column: row ?? undefined }
        }
        hovered={hover && { row: hover.layer === layer ? hover.expert : undefined, column: hover.row }}
        onHover={(cell) => {
          hovered.value = cell && { layer, expert: cell.row, row: cell.column };
        }}
        onPick={({ row: at, column }) => show({ row: column, layer, expert: at }, { replace: false })}
        describe={({ row: at, column }) => {
          const value = cells.value(at, column);
          return (
            <>
              <strong>
                {value === undefined
                  ? "loading"
                  : value === 0
                    ? "not used"
                    : `${value.toPrecision(3)}${topK > 1 ? " weight" : ""}`}
              </strong>
              <p>
                layer {layer}, expert {at}
              </p>
              <p class="muted">token {count(column)}</p>
            </>
          );
        }}
        sayCell={({ row: at, column }) =>
          `Token ${column}, expert ${at}: ${percent(cells.value(at, column) ?? Number.NaN)}`
        }
      />
    </figure>
  );
}
