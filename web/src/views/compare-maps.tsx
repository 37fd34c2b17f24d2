import { useMemo, useRef } from "preact/hooks";
import type { CaptureSummary } from "../../../src/server/captures/summary.ts";
import type { UsageFacts } from "../../../src/views/facts/usage.ts";
import { matrixCells } from "../canvas/cells.ts";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { Cell, HeatmapView } from "../canvas/heatmap-view.ts";
import { type ColourScale, colourOf, DIVERGING_RAMP, hexPixel, inkOn } from "../colour/palette.ts";
import { useUsage } from "../data/routing.ts";
import { csv } from "../parts/csv.ts";
import { useExports } from "../parts/export-menu.tsx";
import { RampLegend } from "../parts/legend.tsx";
import { amount } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { UsageLegend } from "../parts/usage-legend.tsx";
import { usageScale, usageText } from "../parts/usage-scale.ts";
import { go } from "../route.ts";
import { filterLabel, filterSample, hovered, otherLabel, otherSample } from "../selection.ts";
import { isDark, themeVersion } from "../theme.ts";
import { mapHeight } from "./usage.tsx";

/** Use of each expert over its fair share, `[layers, experts]`. */
function timesFair({ layers, experts, fairShare }: UsageFacts): Float32Array {
  const values = new Float32Array(layers.length * experts);
  layers.forEach(({ rows, counts }, line) => {
    for (let e = 0; e < experts; e++)
      values[line * experts + e] = rows === 0 ? Number.NaN : counts[e]! / rows / fairShare;
  });
  return values;
}

/** The usage of both, and their difference. */
export function Maps({ a, b }: { readonly a: CaptureSummary; readonly b: CaptureSummary }) {
  const usageA = useUsage(a, { label: filterLabel.value, sample: filterSample.value });
  const usageB = useUsage(b, { label: otherLabel.value, sample: otherSample.value });
  const view = useRef<HeatmapView | null>(null);
  const dark = isDark();
  const version = themeVersion.value;
  const ready = usageA.data && usageB.data;
  const comparable =
    ready &&
    usageA.data!.experts === usageB.data!.experts &&
    usageA.data!.layers.length === usageB.data!.layers.length;
  const maps = useMemo(() => {
    if (!comparable) return null;
    const [left, right] = [timesFair(usageA.data!), timesFair(usageB.data!)];
    return { left, right, difference: right.map((value, i) => value - left[i]!) };
  }, [comparable, usageA.data, usageB.data]);
  const scales = useMemo(() => {
    const missing = hexPixel(dark ? "#1e2226" : "#f1f1ee");
    const top = maps ? topOf(maps.difference) : 1;
    const difference: ColourScale = { ramp: DIVERGING_RAMP, min: -top, max: top, missing };
    return { usage: usageScale(dark), difference };
  }, [dark, version, maps]);
  useExports(
    maps
      ? {
          name: `${a.name}-against-${b.name}`,
          png: () =>
            canvasPng(
              view.current!.canvas,
              "Difference of usage, B − A, in fair shares",
              `A ${a.name}, B ${b.name}`,
            ),
          csv: () => {
            const { layers, experts } = usageA.data!;
            return csv(
              ["layer", "expert", "a_times_fair", "b_times_fair", "difference"],
              layers.flatMap(({ layer }, line) =>
                Array.from({ length: experts }, (_, e) => {
                  const at = line * experts + e;
                  return [layer, e, maps.left[at]!, maps.right[at]!, maps.difference[at]!];
                }),
              ),
            );
          },
        }
      : null,
  );
  const failed = [usageA, usageB].find((usage) => usage.state === "error");
  if (failed?.state === "error") return <ErrorNote error={failed.error} retry={failed.retry} />;
  const height = Math.min(420, mapHeight(a.model.moe?.layers.length ?? 1));
  if (!ready) return <Skeleton height={2 * height} />;
  if (!comparable || !maps)
    return (
      <EmptyNote>
        The models differ: {a.model.name} has {a.model.moe?.layers.length ?? 0} MoE layers of{" "}
        {a.model.moe?.experts ?? 0} experts, {b.model.name} {b.model.moe?.layers.length ?? 0} of{" "}
        {b.model.moe?.experts ?? 0}. Only like can be compared cell by cell.
      </EmptyNote>
    );
  const shared = { usage: usageA.data!, maps, height };
  return (
    <>
      <div class="pair">
        {(["A", "B"] as const).map((name) => (
          <div key={name} class="panel">
            <h2>{name}</h2>
            <UsageLegend scale={scales.usage} />
            <SideMap
              {...shared}
              values={name === "A" ? maps.left : maps.right}
              scale={scales.usage}
              name={name}
            />
          </div>
        ))}
      </div>
      <div class="panel">
        <h2>Difference, B − A</h2>
        <RampLegend
          scale={scales.difference}
          title=""
          unit="fair shares; red: more in B"
          open
          mark={{ value: 0, text: "same" }}
        />
        <SideMap
          {...shared}
          values={maps.difference}
          scale={scales.difference}
          name="the difference"
          onView={(made) => {
            view.current = made;
          }}
        />
      </div>
    </>
  );
}

interface SideMapProps {
  readonly usage: UsageFacts;
  readonly maps: {
    readonly left: Float32Array;
    readonly right: Float32Array;
    readonly difference: Float32Array;
  };
  readonly values: Float32Array;
  readonly scale: ColourScale;
  readonly name: string;
  readonly height: number;
  readonly onView?: (view: HeatmapView) => void;
}

/** Where 90 % of the differences lie below, rounded up: the scale of captures that hardly differ must show it. */
function topOf(differences: Float32Array): number {
  const sizes = differences.map(Math.abs).filter(Number.isFinite).sort();
  const wanted = sizes[Math.floor(0.9 * (sizes.length - 1))] ?? 0;
  return [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4].find((top) => wanted <= top) ?? 8;
}

/** A difference with the digits that its scale shows, and no minus before a zero. */
const differenceText = (scale: ColourScale) => (_: Cell, value: number) => {
  const digits = Math.max(1, Math.ceil(1 - Math.log10(scale.max)));
  const rounded = Number(value.toFixed(digits));
  return {
    text: Number.isNaN(value) ? "" : rounded === 0 ? "0" : value.toFixed(digits).replace("-", "−"),
    ink: inkOn(colourOf(scale, value)),
  };
};

/** One of the three maps; what is hovered in one lights up in all. */
function SideMap({ usage, maps, values, scale, name, height, onView }: SideMapProps) {
  const { layers, experts } = usage;
  const cells = useMemo(() => matrixCells(values, layers.length, experts, scale), [values, scale]);
  const rows = useMemo(
    () => ({ name: "layer", label: (line: number) => `${layers[line]!.layer}` }),
    [layers],
  );
  const columns = useMemo(() => ({ name: "expert", label: String }), []);
  const cellText = useMemo(
    () => (scale.zero === undefined ? differenceText(scale) : usageText(scale)),
    [scale],
  );
  const hover = hovered.value;
  const said = (at: number) =>
    `A ${amount(maps.left[at]!)}, B ${amount(maps.right[at]!)}, B − A ${amount(maps.difference[at]!)} fair shares`;
  return (
    <Heatmap
      label={`Usage in ${name}, layers by experts`}
      cells={cells}
      rows={rows}
      columns={columns}
      zoom="none"
      keyboard={name === "the difference"}
      height={height}
      cellText={cellText}
      cursor={null}
      chosen={null}
      hovered={
        hover?.layer === undefined
          ? null
          : { row: layers.findIndex(({ layer }) => layer === hover.layer), column: hover.expert }
      }
      onHover={(cell) => {
        hovered.value = cell && { layer: layers[cell.row]!.layer, expert: cell.column };
      }}
      onPick={({ row, column }) => go("expert", { layer: layers[row]!.layer, expert: column })}
      {...(onView && { onView })}
      describe={({ row, column }) => (
        <>
          <strong>
            Layer {layers[row]!.layer}, expert {column}
          </strong>
          <p>{said(row * experts + column)}</p>
        </>
      )}
      sayCell={({ row, column }) =>
        `Layer ${layers[row]!.layer}, expert ${column}: ${said(row * experts + column)}`
      }
    />
  );
}
