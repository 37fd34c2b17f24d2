import { useMemo, useRef } from "preact/hooks";
import type { CoactivationSummary } from "../../../src/analysis/measures/coactivation.ts";
import { pairsTested } from "../../../src/views/evidence.ts";
import type { ViewProps } from "../app.tsx";
import { matrixCells } from "../canvas/cells.ts";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { HeatmapView } from "../canvas/heatmap-view.ts";
import { colourOf, DIVERGING_RAMP, hexPixel, inkOn, pixelCss } from "../colour/palette.ts";
import { routedLayers } from "../data/captures.ts";
import { useCoactivation, useLayerAnalysis } from "../data/routing.ts";
import { csv } from "../parts/csv.ts";
import { currentExpert, ExpertSteps } from "../parts/expert-steps.tsx";
import { useExports } from "../parts/export-menu.tsx";
import { amount, plural, probability } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { go } from "../route.ts";
import { hovered } from "../selection.ts";
import { isDark, themeVersion } from "../theme.ts";
import { Flow } from "./flow.tsx";

/** Lift is shown as a power of two: from a quarter to four times chance. */
const LOG_TOP = 2;
const PAIRS = 6;

/** Which experts serve the same token, within a layer and from one layer to the next. */
export function PairsView({ capture }: ViewProps) {
  const layers = routedLayers(capture);
  const experts = capture.model.moe?.experts ?? 0;
  if (layers.length === 0) return <EmptyNote>This capture does not tell which experts were used.</EmptyNote>;
  const { layer } = currentExpert(layers, experts);
  return (
    <section class="view">
      <div class="view-head">
        <h1>Pairs and flow</h1>
        <ExpertSteps capture={capture} layers={layers} layer={layer} expert={null} />
      </div>
      {capture.model.moe!.topK < 2 ? (
        <EmptyNote>
          This model uses one expert a token: no two experts of a layer serve the same token.
        </EmptyNote>
      ) : (
        <Pairs capture={capture} layer={layer} />
      )}
      <Flow capture={capture} layer={layer} />
    </section>
  );
}

function Pairs({ capture, layer }: ViewProps & { readonly layer: number }) {
  const analysis = useLayerAnalysis(capture, layer);
  const lifts = useCoactivation(capture, layer);
  const view = useRef<HeatmapView | null>(null);
  const dark = isDark();
  const scale = useMemo(
    () => ({
      ramp: DIVERGING_RAMP,
      min: -LOG_TOP,
      max: LOG_TOP,
      missing: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
    }),
    [dark, themeVersion.value],
  );
  const order = analysis.data?.layer === layer ? analysis.data.coactivation?.order : undefined;
  const map = useMemo(() => {
    if (!order || !lifts.data) return null;
    const n = order.length;
    const values = new Float32Array(n * n);
    order.forEach((a, row) => {
      order.forEach((b, column) => {
        // A pair that never met is as far apart as the scale goes.
        const value = lifts.data![a * n + b]!;
        values[row * n + column] = value === 0 ? Number.NEGATIVE_INFINITY : Math.log2(value);
      });
    });
    return { values, cells: matrixCells(values, n, n, scale) };
  }, [order, lifts.data, scale]);
  const axis = useMemo(() => ({ name: "expert", label: (at: number) => `${order?.[at] ?? ""}` }), [order]);
  useExports(
    map && order
      ? {
          name: `${capture.name}-pairs-L${layer}`,
          png: () => canvasPng(view.current!.canvas, `Pairs of experts, layer ${layer}`, capture.name),
          csv: () =>
            csv(
              ["layer", "a", "b", "lift"],
              order.flatMap((a, row) =>
                order.map((b, column) => [
                  layer,
                  a,
                  b,
                  a === b ? null : 2 ** map.values[row * order.length + column]!,
                ]),
              ),
            ),
        }
      : null,
  );
  if (analysis.state === "error") return <ErrorNote error={analysis.error} retry={analysis.retry} />;
  if (lifts.state === "error") return <ErrorNote error={lifts.error} retry={lifts.retry} />;
  if (!map || !order || !analysis.data?.coactivation)
    return <Skeleton height={560} label="Finding experts that serve the same tokens" />;
  const n = order.length;
  const hover = hovered.value;
  const cellText = (_: unknown, value: number) => ({
    text: Number.isNaN(value)
      ? ""
      : value === Number.NEGATIVE_INFINITY
        ? "0"
        : amount(Number((2 ** value).toPrecision(2))),
    ink: inkOn(colourOf(scale, value)),
  });
  return (
    <div class="with-side">
      <div class="panel">
        <div class="legend">
          <span class="legend-title">
            <Term name="lift">Lift</Term>
          </span>
          <span class="muted">¼</span>
          <span class="ramp ramp-steps">
            {[-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2].map((value) => (
              <span key={value} style={{ background: pixelCss(colourOf(scale, value)) }} />
            ))}
          </span>
          <span class="muted">4+ × chance; white: 1</span>
        </div>
        <Heatmap
          label={`Pairs of experts of layer ${layer}, experts by experts`}
          cells={map.cells}
          rows={axis}
          columns={axis}
          zoom="both"
          keyboard={false}
          height={Math.min(640, Math.max(320, n * 36)) + 24}
          cellText={cellText}
          cursor={null}
          chosen={null}
          hovered={
            hover?.layer === layer && hover.expert !== undefined ? { row: order.indexOf(hover.expert) } : null
          }
          onHover={(cell) => {
            hovered.value = cell && { layer, expert: order[cell.row]! };
          }}
          onPick={({ row }) => go("expert", { layer, expert: order[row]! })}
          onView={(made) => {
            view.current = made;
          }}
          describe={({ row, column }) => (
            <>
              <strong>
                Experts {order[row]} and {order[column]}
              </strong>
              <p>{row === column ? "the same expert" : liftSaid(map.values[row * n + column]!)}</p>
            </>
          )}
          sayCell={() => ""}
        />
        <p class="axis-names muted small">
          experts in the order of a clustering: blocks along the diagonal are groups that serve the same
          tokens
        </p>
      </div>
      <aside class="side">
        <PairLists layer={layer} found={analysis.data.coactivation} />
      </aside>
    </div>
  );
}

function liftSaid(log: number): string {
  if (Number.isNaN(log)) return "one of them was never used";
  if (log === Number.NEGATIVE_INFINITY) return "never together";
  return `${amount(2 ** log)} × as often as chance`;
}

/** Structure that a silhouette below this shows is none to speak of. */
const WEAK = 0.25;

function PairLists({ layer, found }: { readonly layer: number; readonly found: CoactivationSummary }) {
  const { together, apart, clusters, silhouette } = found;
  const groups = clusters.filter((cluster) => cluster.length > 1);
  const list = (pairs: CoactivationSummary["together"]) => (
    <ol class="list">
      {pairs.slice(0, PAIRS).map(({ a, b, count: both, expected, lift, interval, qValue }) => (
        <li key={`${a}/${b}`} class="row">
          <span>
            E{a} and E{b}
          </span>
          <span
            class="muted"
            title={`${plural(both, "token")}; chance would give ${amount(expected)}. 95 % interval of the lift: ${interval.map(amount).join(" to ")}`}
          >
            {both === 0 ? "never" : `${amount(lift)} ×`}, q {probability(qValue)}
          </span>
        </li>
      ))}
    </ol>
  );
  return (
    <>
      <div class="card">
        <h2>Serve the same tokens more than chance</h2>
        {together.length > 0 ? list(together) : <p class="muted">No pair is beyond chance.</p>}
      </div>
      <div class="card">
        <h2>Serve the same tokens less than chance</h2>
        {apart.length > 0 ? list(apart) : <p class="muted">No pair is beyond chance.</p>}
      </div>
      <p class="muted small">{pairsTested(found)}.</p>
      <div class="card">
        <h2>Groups in layer {layer}</h2>
        {silhouette === null || silhouette < WEAK || groups.length === 0 ? (
          <p class="muted">
            No groups to speak of
            {silhouette === null ? "" : ` (silhouette ${amount(silhouette)}, below ${WEAK})`}.
          </p>
        ) : (
          <ol class="list">
            {groups.map((cluster) => (
              <li key={cluster[0]}>{cluster.map((expert) => `E${expert}`).join(", ")}</li>
            ))}
          </ol>
        )}
      </div>
    </>
  );
}
