import { useMemo, useRef } from "preact/hooks";
import type { ViewProps } from "../app.tsx";
import { matrixCells } from "../canvas/cells.ts";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { Cell, HeatmapView } from "../canvas/heatmap-view.ts";
import { useAnalysis, useUsage } from "../data/routing.ts";
import { useKeys } from "../keys.ts";
import { csv } from "../parts/csv.ts";
import { ExpertName } from "../parts/expert-name.tsx";
import { useExports } from "../parts/export-menu.tsx";
import { amount, count, percent, plural, pointsWithInterval, probability } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { currentFilter, RowFilterBar } from "../parts/row-filter.tsx";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { TestNotes } from "../parts/test-notes.tsx";
import { UsageLegend } from "../parts/usage-legend.tsx";
import { usageScale, usageText } from "../parts/usage-scale.ts";
import { go, show } from "../route.ts";
import { chosenExpert, chosenLayer, hovered } from "../selection.ts";
import { isDark, themeVersion } from "../theme.ts";
import { LabelMap } from "./usage-by-label.tsx";

/** Height of a row of cells: comfortable for a few layers, still apart for many. */
export const mapHeight = (rows: number): number =>
  Math.round(Math.min(640, Math.max(rows * 10, Math.min(rows * 44, 420))) + 24);

/** Layers x experts: how often each was used, against its fair share. */
export function UsageView({ capture }: ViewProps) {
  const filter = currentFilter();
  const usage = useUsage(capture, filter);
  const view = useRef<HeatmapView | null>(null);
  const dark = isDark();
  const scale = useMemo(() => usageScale(dark), [dark, themeVersion.value]);
  const { data } = usage;
  const map = useMemo(() => {
    if (!data) return null;
    const { layers, experts, fairShare } = data;
    const values = new Float32Array(layers.length * experts);
    layers.forEach(({ rows, counts }, line) => {
      for (let e = 0; e < experts; e++)
        values[line * experts + e] = rows === 0 ? Number.NaN : counts[e]! / rows / fairShare;
    });
    return { values, cells: matrixCells(values, layers.length, experts, scale) };
  }, [data, scale]);

  const layerLine = data ? data.layers.findIndex(({ layer }) => layer === chosenLayer.value) : -1;
  const cursor =
    layerLine >= 0 && chosenExpert.value !== null ? { row: layerLine, column: chosenExpert.value } : null;
  useKeys([
    {
      keys: ["Enter"],
      does: "open the chosen expert",
      run: () => cursor && go("expert"),
    },
  ]);
  const columns = useMemo(() => ({ name: "expert", label: String }), []);
  const rows = useMemo(
    () => ({ name: "layer", label: (line: number) => `${data?.layers[line]?.layer ?? ""}` }),
    [data],
  );
  const cellText = useMemo(() => usageText(scale), [scale]);
  useExports(
    data && map
      ? {
          name: `${capture.name}-usage`,
          png: () =>
            canvasPng(
              view.current!.canvas,
              "Expert usage against fair share",
              `${capture.name} · ${said(filter)}`,
            ),
          csv: () =>
            csv(
              ["layer", "expert", "rows", "count", "share", "times_fair_share"],
              data.layers.flatMap(({ layer, rows: of, counts }) =>
                counts.map((n, e) => [layer, e, of, n, n / of, n / of / data.fairShare]),
              ),
            ),
        }
      : null,
  );
  if (!capture.model.moe)
    return (
      <EmptyNote>
        {capture.model.name} is a dense model: it has no experts to map. Its tokens are under Tokens.
      </EmptyNote>
    );
  const height = mapHeight(capture.model.moe.layers.length);
  const pick = ({ row, column }: Cell) =>
    show({ layer: data!.layers[row]!.layer, expert: column }, { replace: false });
  const hover = hovered.value;
  return (
    <section class="view">
      <div class="view-head">
        <h1>
          <Term name="usage">Usage of every expert</Term>
        </h1>
        <RowFilterBar capture={capture} />
      </div>
      <div class="with-side">
        <div class="panel">
          <UsageLegend scale={scale} title="Usage" />
          {usage.state === "error" ? (
            <ErrorNote error={usage.error} retry={usage.retry} />
          ) : map && data ? (
            <Heatmap
              label="Usage of experts, layers by experts"
              cells={map.cells}
              rows={rows}
              columns={columns}
              zoom="both"
              height={height}
              cellText={cellText}
              busy={usage.state === "loading"}
              cursor={cursor}
              chosen={cursor}
              hovered={
                hover && {
                  row: data.layers.findIndex(({ layer }) => layer === hover.layer),
                  column: hover.expert,
                }
              }
              onHover={(cell) => {
                hovered.value = cell && { layer: data.layers[cell.row]!.layer, expert: cell.column };
              }}
              onPick={pick}
              onView={(made) => {
                view.current = made;
              }}
              describe={(cell) => <UsageTip {...tipOf(data, cell)} />}
              sayCell={(cell) => {
                const { layer, expert, times, share } = tipOf(data, cell);
                return `Layer ${layer}, expert ${expert}: ${amount(times)} times its fair share, ${percent(share)} of tokens`;
              }}
            />
          ) : (
            <Skeleton height={height} />
          )}
          <p class="axis-names muted small">
            layers down, experts across · fair share {capture.model.moe.topK} of {capture.model.moe.experts} ={" "}
            {percent(capture.model.moe.topK / capture.model.moe.experts)}
          </p>
          <LabelMap capture={capture} scale={scale} />
        </div>
        <aside class="side">
          <ChosenExpert data={data} />
          <SpecializedExperts capture={capture} />
        </aside>
      </div>
    </section>
  );
}

type Usage = NonNullable<ReturnType<typeof useUsage>["data"]>;

function tipOf({ layers, fairShare }: Usage, { row, column }: Cell) {
  const { layer, rows, counts } = layers[row]!;
  const used = counts[column]!;
  return { layer, expert: column, rows, used, share: used / rows, times: used / rows / fairShare };
}

const UsageTip = ({ layer, expert, rows, used, share, times }: ReturnType<typeof tipOf>) => (
  <>
    <strong>
      Layer {layer}, expert {expert}
    </strong>
    <p>{used === 0 ? "never used" : `${times.toFixed(2)} × fair share`}</p>
    <p class="muted">
      {count(used)} of {plural(rows, "token")}, {percent(share)}
    </p>
  </>
);

function said({ label, phase, sample }: ReturnType<typeof currentFilter>): string {
  const parts = [
    label && `label ${label}`,
    phase && `${phase} tokens`,
    sample !== null && sample !== undefined && `sample ${sample}`,
  ].filter(Boolean);
  return parts.length === 0 ? "all tokens" : parts.join(", ");
}

/** What is chosen on the map, in numbers, with the way to its card. */
function ChosenExpert({ data }: { readonly data: Usage | undefined }) {
  const layer = chosenLayer.value;
  const expert = chosenExpert.value;
  const line = data?.layers.findIndex((of) => of.layer === layer) ?? -1;
  if (!data || line < 0 || expert === null || expert >= data.experts)
    return (
      <div class="card hint">
        <h2>Choose an expert</h2>
        <p class="muted">
          Click a cell, or move with the arrow keys. A bright cell serves more than its share of these tokens.
        </p>
      </div>
    );
  const { rows, used, share, times } = tipOf(data, { row: line, column: expert });
  const { balance } = data.layers[line]!;
  return (
    <div class="card">
      <h2>
        <ExpertName layer={layer!} expert={expert} />
      </h2>
      <p class="figure">
        <span>{used === 0 ? "never" : amount(times)}</span> {used === 0 ? "used" : "× fair share"}
      </p>
      <dl class="facts">
        <dt>Tokens</dt>
        <dd>
          {count(used)} of {count(rows)} ({percent(share)})
        </dd>
        <dt>
          <Term name="cv">Layer's CV</Term>
        </dt>
        <dd>{amount(balance.cv ?? Number.NaN)}</dd>
        <dt>
          <Term name="maxVio">MaxVio</Term>
        </dt>
        <dd>{amount(balance.maxVio ?? Number.NaN)}</dd>
      </dl>
      <button type="button" class="primary" onClick={() => go("expert")}>
        Open the expert
      </button>
    </div>
  );
}

const SHOWN = 12;

/** Experts that serve a label beyond chance. */
function SpecializedExperts({ capture }: ViewProps) {
  const analysis = useAnalysis(capture);
  if (capture.labels.length < 2) return null;
  return (
    <div class="card">
      <h2>
        Specialized experts{" "}
        <span class="muted">
          <Term name="qValue">q</Term> ≤ 0.05
        </span>
      </h2>
      {analysis.state === "error" ? (
        <ErrorNote error={analysis.error} retry={analysis.retry} />
      ) : !analysis.data ? (
        <Skeleton height={SHOWN * 40} label="Testing which experts serve which label" />
      ) : analysis.data.specializedExperts.length === 0 ? (
        <p class="muted">No expert serves a label more than the others beyond chance.</p>
      ) : (
        <ol class="list">
          {analysis.data.specializedExperts
            .slice(0, SHOWN)
            .map(({ layer, expert, label, share, timesFair, difference, halfWidth, qValue }) => (
              <li key={`${layer}/${expert}/${label}`}>
                <button
                  type="button"
                  class="row"
                  onPointerEnter={() => {
                    hovered.value = { layer, expert };
                  }}
                  onPointerLeave={() => {
                    hovered.value = null;
                  }}
                  onClick={() => go("expert", { layer, expert })}
                >
                  <span>
                    <ExpertName layer={layer} expert={expert} short /> <strong>{label}</strong>
                  </span>
                  <span
                    class="muted"
                    title={`${percent(share)} of the tokens of ${label} use it, ${pointsWithInterval(difference, halfWidth)} points more than of the others (95 %); q ${probability(qValue)}`}
                  >
                    {percent(share)}, {amount(timesFair)} × fair
                  </span>
                </button>
              </li>
            ))}
        </ol>
      )}
      {analysis.data?.layers[0]?.specialization && <TestNotes of={analysis.data.layers[0].specialization} />}
    </div>
  );
}
