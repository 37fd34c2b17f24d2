import { useMemo, useRef } from "preact/hooks";
import type {
  ExpertLoad,
  ExpertTaste,
  GroupUsage,
  LayerAnalysis,
} from "../../../src/analysis/layer-analysis.ts";
import type { ViewProps } from "../app.tsx";
import { matrixCells } from "../canvas/cells.ts";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { HeatmapView } from "../canvas/heatmap-view.ts";
import { categoryColour } from "../colour/categories.ts";
import { hexPixel, VIRIDIS_RAMP } from "../colour/palette.ts";
import { routedLayers } from "../data/captures.ts";
import { useAnalysis, useLayerAnalysis, useUsage } from "../data/routing.ts";
import { csv } from "../parts/csv.ts";
import { ExpertName } from "../parts/expert-name.tsx";
import { currentExpert, ExpertSteps } from "../parts/expert-steps.tsx";
import { useExports } from "../parts/export-menu.tsx";
import { RampLegend } from "../parts/legend.tsx";
import { amount, count, percent } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { type ShareBar, ShareBars } from "../parts/share-bars.tsx";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { TokenText } from "../parts/token-text.tsx";
import { go } from "../route.ts";
import { hovered } from "../selection.ts";
import { isDark } from "../theme.ts";
import { mapHeight } from "./usage.tsx";

const ALIKE = 6;
const PARTNERS = 5;

/** One expert: how much it works, what it serves, with whom. */
export function ExpertView({ capture }: ViewProps) {
  const layers = routedLayers(capture);
  const experts = capture.model.moe?.experts ?? 0;
  if (layers.length === 0) return <EmptyNote>This capture does not tell which experts were used.</EmptyNote>;
  const { layer, expert } = currentExpert(layers, experts);
  return (
    <section class="view">
      <div class="view-head">
        <h1>
          <ExpertName layer={layer} expert={expert} />
        </h1>
        <ExpertSteps capture={capture} layers={layers} layer={layer} expert={expert} />
      </div>
      <ExpertCard capture={capture} layer={layer} expert={expert} />
    </section>
  );
}

interface CardProps extends ViewProps {
  readonly layer: number;
  readonly expert: number;
}

function ExpertCard({ capture, layer, expert }: CardProps) {
  const analysis = useLayerAnalysis(capture, layer);
  const map = useRef<HeatmapView | null>(null);
  const { data } = analysis;
  useExports(
    data
      ? {
          name: `${capture.name}-L${layer}-E${expert}`,
          png: () =>
            canvasPng(
              map.current!.canvas,
              `Layer ${layer}, expert ${expert}: who serves the same tokens`,
              capture.name,
            ),
          csv: () => cardCsv(data, layer, expert),
        }
      : null,
  );
  if (analysis.state === "error") return <ErrorNote error={analysis.error} retry={analysis.retry} />;
  if (!data || data.layer !== layer)
    return (
      <Skeleton height={720} label="Analysing the layer: what each expert serves, and whether it is chance" />
    );
  const fairShare = capture.model.moe!.topK / capture.model.moe!.experts;
  return (
    <div class="cards">
      <div class="card">
        <h2>How much it works</h2>
        <Load load={data.experts[expert]!} rows={data.rows} />
      </div>
      {data.specialization && (
        <div class="card span-2">
          <h2>Which samples it serves</h2>
          <ShareBars
            kind="Label"
            fairShare={fairShare}
            bars={barsOf(data.specialization, expert, (_, i, name) =>
              categoryColour(capture.labels.indexOf(name) < 0 ? i : capture.labels.indexOf(name)),
            )}
          />
          <p class="muted small">
            <Term name="information">Mutual information</Term> with the label{" "}
            {amount(data.specialization.experts.mutualInformation[expert]!)} bits; by chance{" "}
            {amount(data.specialization.experts.chanceInformation[expert]!)}.
          </p>
        </div>
      )}
      <Tastes capture={capture} layer={layer} taste={data.tastes[expert]} />
      {data.tokenClasses && (
        <div class="card span-2">
          <h2>Which kinds of tokens</h2>
          <ShareBars
            kind="Class"
            fairShare={fairShare}
            bars={barsOf(data.tokenClasses, expert, () => "var(--muted)").filter(({ rows }) => rows > 0)}
          />
        </div>
      )}
      <div class="stack">
        <Partners layer={data} expert={expert} />
        <Flows capture={capture} layer={layer} expert={expert} />
      </div>
      <Alike
        capture={capture}
        layer={layer}
        expert={expert}
        onView={(view) => {
          map.current = view;
        }}
      />
    </div>
  );
}

function barsOf(
  { groups, rows, counts, shares }: GroupUsage,
  expert: number,
  colour: (rows: number, index: number, name: string) => string,
): ShareBar[] {
  return groups.map((name, group) => ({
    name,
    colour: colour(rows[group]!, group, name),
    used: counts[group]![expert]!,
    rows: rows[group]!,
    qValue: shares.qValues[group]![expert]!,
  }));
}

function Load({ load, rows }: { readonly load: ExpertLoad; readonly rows: number }) {
  const { count: used, share, timesFair, interval, weightShare, state, certain } = load;
  return (
    <>
      <p class="figure">
        <span>{used === 0 ? "never" : amount(timesFair)}</span> {used === 0 ? "used" : "× fair share"}
      </p>
      {state !== "used" && (
        <p class="warning-text">
          <Term name="dead">{state === "dead" ? "Dead" : "Underused"}</Term>
          {certain ? " in these tokens, beyond doubt at 95 %." : ", but these tokens are too few to be sure."}
        </p>
      )}
      <dl class="facts">
        <dt>Tokens</dt>
        <dd>
          {count(used)} of {count(rows)}
        </dd>
        <dt>Share</dt>
        <dd>
          {percent(share)}{" "}
          <span class="muted">
            (95 %: {percent(interval[0])} to {percent(interval[1])})
          </span>
        </dd>
        {weightShare !== null && (
          <>
            <dt>
              <Term name="weight">Of all weight</Term>
            </dt>
            <dd>{percent(weightShare)}</dd>
          </>
        )}
      </dl>
    </>
  );
}

function Tastes({
  capture,
  layer,
  taste,
}: ViewProps & { readonly layer: number; readonly taste: ExpertTaste | undefined }) {
  if (!taste || (taste.byWeight.length === 0 && taste.byLift.length === 0))
    return (
      <div class="card span-2">
        <h2>Top tokens</h2>
        <p class="muted">It served no token of this capture.</p>
      </div>
    );
  return (
    <>
      {taste.byWeight.length > 0 && (
        <div class="card span-2">
          <h2>
            Tokens it gave most <Term name="weight">weight</Term>, in context
          </h2>
          <ol class="contexts">
            {taste.byWeight.map(({ sample, position, text, before, after, label, weight }) => (
              <li key={`${sample}/${position}`}>
                <button
                  type="button"
                  class="context"
                  onClick={() => {
                    const row = capture.firstRows[sample]! + position;
                    go("tokens", { row, layer, sample, x: capture.firstRows[sample]!, w: null });
                  }}
                >
                  <span class="context-text mono">
                    <span class="muted">
                      <span>
                        <TokenText text={before} />
                      </span>
                    </span>
                    <mark>
                      <TokenText text={text} />
                    </mark>
                    <span class="muted">
                      <TokenText text={after} />
                    </span>
                  </span>
                  <span class="muted small">
                    {label} {weight.toFixed(2)}
                  </span>
                </button>
              </li>
            ))}
          </ol>
        </div>
      )}
      {taste.byLift.length > 0 && (
        <div class="card">
          <h2>Tokens it prefers</h2>
          <table>
            <thead>
              <tr>
                <th>Token</th>
                <th class="number">served</th>
                <th class="number">
                  <Term name="lift">lift</Term>
                </th>
              </tr>
            </thead>
            <tbody>
              {taste.byLift.map(({ tokenId, text, count: served, of, lift }) => (
                <tr key={tokenId}>
                  <td class="mono">
                    <TokenText text={text} />
                  </td>
                  <td class="number">
                    {count(served)} of {count(of)}
                  </td>
                  <td class="number">{amount(lift)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

/** Experts of the layer that serve the same tokens, and those that avoid them. */
function Partners({ layer, expert }: { readonly layer: LayerAnalysis; readonly expert: number }) {
  const { coactivation } = layer;
  if (!coactivation) return null;
  const row = coactivation.attraction?.[expert];
  const pairs = row
    ? row
        .map((attraction, other) => ({ other, attraction }))
        .filter(({ other, attraction }) => other !== expert && attraction !== null)
    : [...coactivation.together, ...coactivation.apart]
        .filter(({ a, b }) => a === expert || b === expert)
        .map(({ a, b, attraction }) => ({ other: a === expert ? b : a, attraction }));
  const sorted = pairs.sort((a, b) => b.attraction! - a.attraction!).slice(0, PARTNERS);
  return (
    <div class="card">
      <h2>
        Partners, by <Term name="lift">lift</Term>
      </h2>
      {sorted.length === 0 ? (
        <p class="muted">No pair of it stands out.</p>
      ) : (
        <ol class="list">
          {sorted.map(({ other, attraction }) => (
            <li key={other}>
              <button type="button" class="row" onClick={() => go("expert", { expert: other })}>
                <ExpertName layer={layer.layer} expert={other} short />
                <span class="muted">{amount(attraction!)} × the usual pair</span>
              </button>
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}

/** From where its tokens come and where they go on. */
function Flows({ capture, layer, expert }: CardProps) {
  const { data } = useAnalysis(capture);
  if (!data) return null;
  const before = data.flows.find(({ to }) => to === layer);
  const after = data.flows.find(({ from }) => from === layer);
  const from = before?.edges.filter(({ b }) => b === expert).slice(0, PARTNERS) ?? [];
  const to = after?.edges.filter(({ a }) => a === expert).slice(0, PARTNERS) ?? [];
  if (from.length + to.length === 0) return null;
  const list = (edges: typeof from, other: number, end: "a" | "b") =>
    edges.map((edge) => (
      <li key={edge[end]}>
        <button type="button" class="row" onClick={() => go("expert", { layer: other, expert: edge[end] })}>
          <ExpertName layer={other} expert={edge[end]} short />
          <span class="muted">
            {count(edge.count)} tokens, {amount(edge.lift)} × chance
          </span>
        </button>
      </li>
    ));
  return (
    <div class="card">
      <h2>
        <Term name="flow">Flow</Term>
      </h2>
      {from.length > 0 && (
        <>
          <h3>its tokens come from</h3>
          <ol class="list">{list(from, before!.from, "a")}</ol>
        </>
      )}
      {to.length > 0 && (
        <>
          <h3>and go on to</h3>
          <ol class="list">{list(to, after!.to, "b")}</ol>
        </>
      )}
    </div>
  );
}

/** Experts of all layers by how far they serve the same tokens. */
function Alike({
  capture,
  layer,
  expert,
  onView,
}: CardProps & { readonly onView: (view: HeatmapView) => void }) {
  const all = useUsage(capture, {});
  const own = useUsage(capture, { layer, expert });
  const dark = isDark();
  const scale = useMemo(
    () => ({ ramp: VIRIDIS_RAMP, min: 0, max: 1, missing: hexPixel(dark ? "#1e2226" : "#f1f1ee") }),
    [dark],
  );
  const found = useMemo(() => {
    if (!all.data || !own.data) return null;
    const { layers, experts } = all.data;
    const values = new Float32Array(layers.length * experts);
    const used = own.data.layers.find((of) => of.layer === layer)!.rows;
    layers.forEach(({ layer: of, counts }, line) => {
      const shared = own.data!.layers[line]!.counts;
      for (let e = 0; e < experts; e++)
        values[line * experts + e] =
          of === layer
            ? Number.NaN
            : counts[e] === 0 || used === 0
              ? 0
              : shared[e]! / Math.sqrt(counts[e]! * used);
    });
    return {
      values,
      layers: layers.map((of) => of.layer),
      experts,
      cells: matrixCells(values, layers.length, experts, scale),
    };
  }, [all.data, own.data, scale, layer]);
  const rows = useMemo(
    () => ({ name: "layer", label: (line: number) => `${found?.layers[line] ?? ""}` }),
    [found],
  );
  const columns = useMemo(() => ({ name: "expert", label: String }), []);
  const best = found
    ? Array.from(found.values, (value, i) => ({ value, i }))
        .filter(({ value }) => value > 0)
        .sort((a, b) => b.value - a.value)
        .slice(0, ALIKE)
    : [];
  const height = Math.min(360, mapHeight(routedLayers(capture).length));
  return (
    <div class="card span-all">
      <h2>
        Experts of other layers that serve the same tokens (<Term name="similarity">similarity</Term>)
      </h2>
      {found ? (
        <div class="with-side narrow">
          <div>
            <RampLegend scale={scale} title="Similarity" unit="" />
            <Heatmap
              label="Similarity to experts of other layers"
              cells={found.cells}
              rows={rows}
              columns={columns}
              zoom="none"
              keyboard={false}
              height={height}
              cursor={null}
              chosen={{ row: found.layers.indexOf(layer), column: expert }}
              hovered={
                hovered.value && {
                  row: found.layers.indexOf(hovered.value.layer ?? -1),
                  column: hovered.value.expert,
                }
              }
              onHover={(cell) => {
                hovered.value = cell && { layer: found.layers[cell.row]!, expert: cell.column };
              }}
              onPick={({ row, column }) => go("expert", { layer: found.layers[row]!, expert: column })}
              onView={onView}
              describe={({ row, column }) => (
                <>
                  <strong>
                    Layer {found.layers[row]}, expert {column}
                  </strong>
                  <p>
                    {found.layers[row] === layer
                      ? "its own layer: see partners"
                      : `similarity ${found.values[row * found.experts + column]!.toFixed(3)}`}
                  </p>
                </>
              )}
              sayCell={() => ""}
            />
          </div>
          <ol class="list">
            {best.map(({ value, i }) => (
              <li key={i}>
                <button
                  type="button"
                  class="row"
                  onClick={() =>
                    go("expert", {
                      layer: found.layers[Math.floor(i / found.experts)]!,
                      expert: i % found.experts,
                    })
                  }
                >
                  <ExpertName
                    layer={found.layers[Math.floor(i / found.experts)]!}
                    expert={i % found.experts}
                    short
                  />
                  <span class="muted">{amount(value)}</span>
                </button>
              </li>
            ))}
          </ol>
        </div>
      ) : (
        <Skeleton height={height} />
      )}
    </div>
  );
}

function cardCsv(
  { specialization, tokenClasses, tastes, experts }: LayerAnalysis,
  layer: number,
  expert: number,
): string {
  const groups = (kind: string, usage: GroupUsage | null) =>
    (usage?.groups ?? []).map((name, g) => [
      layer,
      expert,
      kind,
      name,
      usage!.counts[g]![expert]!,
      usage!.rows[g]!,
      usage!.shares.qValues[g]![expert]!,
    ]);
  return csv(
    ["layer", "expert", "kind", "name", "count_or_weight", "of", "q_value"],
    [
      [layer, expert, "all", "", experts[expert]!.count, null, null],
      ...groups("label", specialization),
      ...groups("token class", tokenClasses),
      ...(tastes[expert]?.byLift ?? []).map(({ text, count: served, of }) => [
        layer,
        expert,
        "preferred token",
        text,
        served,
        of,
        null,
      ]),
      ...(tastes[expert]?.byWeight ?? []).map(({ text, weight }) => [
        layer,
        expert,
        "top weight",
        text,
        weight,
        null,
        null,
      ]),
    ],
  );
}
