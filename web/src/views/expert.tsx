import { useRef } from "preact/hooks";
import type { GroupUsage } from "../../../src/analysis/measures/tallies/group-usage.ts";
import type { ExpertLoad } from "../../../src/analysis/measures/usage.ts";
import type { LayerAnalysis } from "../../../src/views/facts/analysis.ts";
import type { ViewProps } from "../app.tsx";
import type { HeatmapView } from "../canvas/heatmap-view.ts";
import { categoryColour } from "../colour/categories.ts";
import { routedLayers } from "../data/captures.ts";
import { useAnalysis, useLayerAnalysis } from "../data/routing.ts";
import { csv } from "../parts/csv.ts";
import { ExpertName } from "../parts/expert-name.tsx";
import { currentExpert, ExpertSteps } from "../parts/expert-steps.tsx";
import { useExports } from "../parts/export-menu.tsx";
import { amount, count, percent, probability } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { type ShareBar, ShareBars } from "../parts/share-bars.tsx";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { FlipNotes, TestNotes } from "../parts/test-notes.tsx";
import { go } from "../route.ts";
import { HeaviestTokens, PreferredTokens } from "./expert-token-preferences.tsx";
import { ExpertsAlike } from "./experts-alike.tsx";

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
    <div class="expert-card">
      <div class="stack">
        <div class="card">
          <h2>How much it works</h2>
          <Load load={data.usage.experts[expert]!} rows={data.rows} />
        </div>
        <PreferredTokens layer={data.tokenPreferences} expert={expert} />
        <Partners layer={data} expert={expert} />
        <Flows capture={capture} layer={layer} expert={expert} />
      </div>
      <div class="stack">
        {data.specialization && (
          <div class="card">
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
            <TestNotes of={data.specialization} />
          </div>
        )}
        <HeaviestTokens capture={capture} layer={layer} of={data.tokenPreferences.experts[expert]} />
        {data.tokenClasses && (
          <div class="card">
            <h2>Which kinds of tokens</h2>
            <ShareBars
              kind="Class"
              fairShare={fairShare}
              bars={barsOf(data.tokenClasses, expert, () => "var(--muted)").filter(({ rows }) => rows > 0)}
            />
            <FlipNotes of={data.tokenClasses} />
          </div>
        )}
      </div>
      <ExpertsAlike
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
    difference: shares.differences[group]![expert]!,
    halfWidth: shares.halfWidths[group]![expert]!,
    qValue: shares.qValues[group]![expert]!,
  }));
}

function Load({ load, rows }: { readonly load: ExpertLoad; readonly rows: number }) {
  const { count: used, share, timesFair, interval, weightShare, state, significant } = load;
  return (
    <>
      <p class="figure">
        <span>{used === 0 ? "never" : amount(timesFair)}</span> {used === 0 ? "used" : "× fair share"}
      </p>
      {state !== "used" && (
        <p class="warning-text">
          <Term name="dead">{state === "dead" ? "Dead" : "Underused"}</Term>
          {significant
            ? ": the 95 % interval between texts lies below half the fair share."
            : " in these tokens; the texts are too few to say so of others."}
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

/** Experts of the layer that serve the same tokens, and those that avoid them. */
function Partners({ layer, expert }: { readonly layer: LayerAnalysis; readonly expert: number }) {
  const { coactivation } = layer;
  if (!coactivation) return null;
  const sorted = [...coactivation.together, ...coactivation.apart]
    .filter(({ a, b }) => a === expert || b === expert)
    .map(({ a, b, lift, qValue }) => ({ other: a === expert ? b : a, lift, qValue }))
    .sort((a, b) => b.lift - a.lift)
    .slice(0, PARTNERS);
  return (
    <div class="card">
      <h2>
        Partners, by <Term name="lift">lift</Term>
      </h2>
      {sorted.length === 0 ? (
        <p class="muted">No pair of it is among the layer's strongest beyond chance.</p>
      ) : (
        <ol class="list">
          {sorted.map(({ other, lift, qValue }) => (
            <li key={other}>
              <button type="button" class="row" onClick={() => go("expert", { expert: other })}>
                <ExpertName layer={layer.layer} expert={other} short />
                <span class="muted">
                  {amount(lift)} × chance, q {probability(qValue)}
                </span>
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

function cardCsv(
  { specialization, tokenClasses, tokenPreferences, usage }: LayerAnalysis,
  layer: number,
  expert: number,
): string {
  const groups = (kind: string, of: GroupUsage | null) =>
    (of?.groups ?? []).map((name, g) => [
      layer,
      expert,
      kind,
      name,
      of!.counts[g]![expert]!,
      of!.rows[g]!,
      of!.shares.qValues[g]![expert]!,
    ]);
  return csv(
    ["layer", "expert", "kind", "name", "count_or_weight", "of", "q_value"],
    [
      [layer, expert, "all", "", usage.experts[expert]!.count, null, null],
      ...groups("label", specialization),
      ...groups("token class", tokenClasses),
      ...(tokenPreferences.experts[expert]?.byLift ?? []).map(({ text, count: served, of, qValue }) => [
        layer,
        expert,
        "preferred token",
        text,
        served,
        of,
        qValue,
      ]),
      ...(tokenPreferences.experts[expert]?.byWeight ?? []).map(({ text, weight }) => [
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
