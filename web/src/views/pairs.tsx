import { useMemo, useRef } from "preact/hooks";
import type { LayerFlow, RoutingPaths } from "../../../src/analysis/capture-analysis.ts";
import type { CoactivationSummary } from "../../../src/analysis/layer-analysis.ts";
import type { ViewProps } from "../app.tsx";
import { matrixCells } from "../canvas/cells.ts";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { HeatmapView } from "../canvas/heatmap-view.ts";
import { colourOf, DIVERGING_RAMP, hexPixel, inkOn, pixelCss } from "../colour/palette.ts";
import { routedLayers } from "../data/captures.ts";
import { useAnalysis, useAttraction, useLayerAnalysis } from "../data/routing.ts";
import { csv } from "../parts/csv.ts";
import { ExpertName } from "../parts/expert-name.tsx";
import { currentExpert, ExpertSteps } from "../parts/expert-steps.tsx";
import { useExports } from "../parts/export-menu.tsx";
import { amount, count, percent } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { TokenText } from "../parts/token-text.tsx";
import { hideTooltip, showTooltip } from "../parts/tooltip.tsx";
import { useWidth } from "../parts/use-width.ts";
import { go } from "../route.ts";
import { hovered } from "../selection.ts";
import { isDark, themeVersion } from "../theme.ts";

/** Attraction is shown as a power of two: from a quarter to four times the usual pair. */
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
  const attraction = useAttraction(capture, layer);
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
    if (!order || !attraction.data) return null;
    const n = order.length;
    const values = new Float32Array(n * n);
    order.forEach((a, row) => {
      order.forEach((b, column) => {
        // A pair that never met is as far apart as the scale goes.
        const value = attraction.data![a * n + b]!;
        values[row * n + column] = value === 0 ? Number.NEGATIVE_INFINITY : Math.log2(value);
      });
    });
    return { values, cells: matrixCells(values, n, n, scale) };
  }, [order, attraction.data, scale]);
  const axis = useMemo(() => ({ name: "expert", label: (at: number) => `${order?.[at] ?? ""}` }), [order]);
  useExports(
    map && order
      ? {
          name: `${capture.name}-pairs-L${layer}`,
          png: () => canvasPng(view.current!.canvas, `Pairs of experts, layer ${layer}`, capture.name),
          csv: () =>
            csv(
              ["layer", "a", "b", "lift_over_usual"],
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
  if (attraction.state === "error") return <ErrorNote error={attraction.error} retry={attraction.retry} />;
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
          <span class="muted">4 × the usual pair</span>
        </div>
        <Heatmap
          label={`Pairs of experts of layer ${layer}, experts by experts`}
          cells={map.cells}
          rows={axis}
          columns={axis}
          zoom="both"
          keyboard={false}
          height={Math.min(640, Math.max(320, n * 24)) + 24}
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
  return `${amount(2 ** log)} × as often as the usual pair`;
}

/** Structure that a silhouette below this shows is none to speak of. */
const WEAK = 0.25;

function PairLists({ layer, found }: { readonly layer: number; readonly found: CoactivationSummary }) {
  const { together, apart, clusters, silhouette } = found;
  const groups = clusters.filter((cluster) => cluster.length > 1);
  const list = (pairs: CoactivationSummary["together"]) => (
    <ol class="list">
      {pairs.slice(0, PAIRS).map(({ a, b, count: both, attraction }) => (
        <li key={`${a}/${b}`} class="row">
          <span>
            E{a} and E{b}
          </span>
          <span class="muted">
            {amount(attraction)} ×, {count(both)} tokens
          </span>
        </li>
      ))}
    </ol>
  );
  return (
    <>
      <div class="card">
        <h2>Seek each other's company</h2>
        {together.length > 0 ? list(together) : <p class="muted">No pair.</p>}
      </div>
      <div class="card">
        <h2>Avoid each other</h2>
        {apart.length > 0 ? list(apart) : <p class="muted">No pair.</p>}
      </div>
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

const FLOW_HEIGHT = 420;
const FLOW_TOP = 24;
const FLOW_LEFT = 24;

/** Layers left to right, experts top to bottom, bands where tokens of one go on to another more than chance explains. */
function Flow({ capture, layer }: ViewProps & { readonly layer: number }) {
  const analysis = useAnalysis(capture);
  if (analysis.state === "error") return <ErrorNote error={analysis.error} retry={analysis.retry} />;
  if (!analysis.data)
    return <Skeleton height={FLOW_HEIGHT} label="Finding how tokens flow from layer to layer" />;
  const { flows, paths, experts } = analysis.data;
  if (flows.length === 0) return null;
  return (
    <div class="panel">
      <h2>
        <Term name="flow">Flow</Term> from layer to layer{" "}
        <span class="muted">bands: pairs that follow each other beyond chance, wider for more tokens</span>
      </h2>
      <FlowChart flows={flows} experts={experts} layer={layer} />
      <Paths paths={paths} />
    </div>
  );
}

function FlowChart({
  flows,
  experts,
  layer,
}: {
  readonly flows: readonly LayerFlow[];
  readonly experts: number;
  readonly layer: number;
}) {
  const [box, width] = useWidth();
  const layers = [...new Set(flows.flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b);
  // Layers stay far enough apart to follow a band; many of them scroll.
  const inner = Math.max(width, layers.length * 72);
  const x = (of: number) =>
    FLOW_LEFT + (layers.indexOf(of) / Math.max(1, layers.length - 1)) * (inner - 2 * FLOW_LEFT);
  const y = (expert: number) => FLOW_TOP + ((expert + 0.5) / experts) * (FLOW_HEIGHT - FLOW_TOP - 8);
  const most = Math.max(1, ...flows.flatMap(({ edges }) => edges.map((edge) => edge.count)));
  const hover = hovered.value;
  const bands = flows.flatMap(({ from, to, edges }) =>
    edges.map(({ a, b, count: tokens, lift, probability }) => ({
      from,
      to,
      a,
      b,
      tokens,
      lift,
      probability,
    })),
  );
  const lit = ({ from, to, a, b }: (typeof bands)[number]) =>
    hover?.expert !== undefined &&
    ((from === hover.layer && a === hover.expert) || (to === hover.layer && b === hover.expert));
  return (
    <div class="scroll-x" ref={box}>
      <svg
        class={hover?.expert === undefined ? "flow" : "flow dimmed"}
        width={inner}
        height={FLOW_HEIGHT}
        role="img"
        aria-label={`Flow of tokens through ${layers.length} layers: ${bands.length} pairs of experts`}
        onPointerLeave={() => {
          hideTooltip();
          hovered.value = null;
        }}
      >
        {bands.map((band) => {
          const { from, to, a, b, tokens, lift, probability } = band;
          const middle = (x(from) + x(to)) / 2;
          return (
            <path
              key={`${from}/${a}/${b}`}
              class={lit(band) ? "band lit" : "band"}
              d={`M${x(from)} ${y(a)}C${middle} ${y(a)} ${middle} ${y(b)} ${x(to)} ${y(b)}`}
              stroke-width={1 + 11 * (tokens / most)}
              stroke-opacity={0.15 + 0.6 * (tokens / most)}
              onPointerMove={(event) =>
                showTooltip(
                  event.clientX,
                  event.clientY,
                  <>
                    <strong>
                      L{from} E{a} to L{to} E{b}
                    </strong>
                    <p>
                      {count(tokens)} tokens, {amount(lift)} × chance
                    </p>
                    <p class="muted">
                      {percent(probability)} of what E{a} serves goes on to E{b}
                    </p>
                  </>,
                )
              }
            />
          );
        })}
        {layers.map((of) => (
          <g key={of}>
            <text class={of === layer ? "chosen" : ""} x={x(of)} y={12} text-anchor="middle">
              {of}
            </text>
            {Array.from({ length: experts }, (_, expert) => (
              <circle
                key={expert}
                class={hover?.layer === of && hover.expert === expert ? "node lit" : "node"}
                cx={x(of)}
                cy={y(expert)}
                r={experts > 48 ? 2 : 4}
                onPointerEnter={(event) => {
                  hovered.value = { layer: of, expert };
                  showTooltip(event.clientX, event.clientY, <ExpertName layer={of} expert={expert} />);
                }}
                onClick={() => go("expert", { layer: of, expert })}
              />
            ))}
          </g>
        ))}
      </svg>
    </div>
  );
}

const PATHS = 5;

/** The routes most tokens take. */
function Paths({ paths }: { readonly paths: readonly RoutingPaths[] }) {
  const shown = paths.filter(({ top }) => top.length > 0);
  if (shown.length === 0) return null;
  return (
    <div class="cards">
      {shown.map(({ layers, top, rows }) => (
        <div class="card plain" key={layers.join("-")}>
          <h3>
            Most travelled through layers {layers[0]} to {layers.at(-1)}, of {count(rows)} tokens
          </h3>
          <ol class="list">
            {top.slice(0, PATHS).map(({ experts, share, lift, tokens }) => (
              <li key={experts.join("-")} class="row">
                <span>{experts.map((expert) => `E${expert}`).join(" → ")}</span>
                <span class="muted">
                  {percent(share)}, {amount(lift)} × chance{" "}
                  <span class="mono">
                    {tokens.slice(0, 3).map(({ text }) => (
                      <span class="token shown" key={text}>
                        <TokenText text={text} />
                      </span>
                    ))}
                  </span>
                </span>
              </li>
            ))}
          </ol>
        </div>
      ))}
    </div>
  );
}
