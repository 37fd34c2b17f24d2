import { useRef } from "preact/hooks";
import { largest } from "../../../src/core/extremes.ts";
import type { BalanceFacts } from "../../../src/views/facts/usage.ts";
import type { ViewProps } from "../app.tsx";
import { useBalance } from "../data/routing.ts";
import { csv } from "../parts/csv.ts";
import { currentExpert, ExpertSteps } from "../parts/expert-steps.tsx";
import { useExports } from "../parts/export-menu.tsx";
import { amount, count, percent } from "../parts/numbers.ts";
import { svgPng } from "../parts/png.ts";
import { currentFilter, RowFilterBar } from "../parts/row-filter.tsx";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { hideTooltip, showTooltip } from "../parts/tooltip.tsx";
import { useWidth } from "../parts/use-width.ts";
import { go, show } from "../route.ts";

type LayerBalance = BalanceFacts["layers"][number];

/** How the work is spread over the experts of each layer. */
export function BalanceView({ capture }: ViewProps) {
  const balance = useBalance(capture, currentFilter());
  const chart = useRef<SVGSVGElement>(null);
  const { data } = balance;
  useExports(
    data
      ? {
          name: `${capture.name}-balance`,
          png: () => svgPng(chart.current!, "Load of each expert, busiest first", capture.name),
          csv: () => balanceCsv(data),
        }
      : null,
  );
  if (balance.state === "error") return <ErrorNote error={balance.error} retry={balance.retry} />;
  if (!data) return <Skeleton height={560} />;
  if (data.layers.length === 0)
    return <EmptyNote>This capture does not tell which experts were used.</EmptyNote>;
  const layers = data.layers.map(({ layer }) => layer);
  const { layer } = currentExpert(layers, data.experts);
  const chosen = data.layers.find((of) => of.layer === layer)!;
  const dead = data.layers.reduce((sum, { underused }) => sum + underused.filter(isDead).length, 0);
  return (
    <section class="view">
      <div class="view-head">
        <h1>Balance</h1>
        <div class="filters">
          <ExpertSteps capture={capture} layers={layers} layer={layer} expert={null} />
          <RowFilterBar capture={capture} />
        </div>
      </div>
      <div class="with-side">
        <div class="panel">
          <h2>
            Load of each expert, busiest first: layer {layer} <span class="muted">among all layers</span>
          </h2>
          <LoadCurves report={data} chosen={chosen} svg={chart} />
        </div>
        <aside class="side">
          <div class="card">
            <h2>Layer {layer}</h2>
            <dl class="facts">
              <dt>
                <Term name="cv">CV</Term>
              </dt>
              <dd>{amount(chosen.cv ?? Number.NaN)}</dd>
              <dt>
                <Term name="maxVio">MaxVio</Term>
              </dt>
              <dd>{amount(chosen.maxVio ?? Number.NaN)}</dd>
              <dt>
                <Term name="evenness">Evenness</Term>
              </dt>
              <dd>{amount(chosen.entropy ?? Number.NaN)}</dd>
              <dt>Busiest</dt>
              <dd>
                expert {chosen.sorted[0]} ({percent(chosen.shares[chosen.sorted[0]!]!)})
              </dd>
            </dl>
            <Underused layer={chosen} />
          </div>
        </aside>
      </div>
      <div class="panel">
        <h2>
          All layers{" "}
          <span class="muted">
            {dead === 0
              ? "· no dead expert"
              : `· ${count(dead)} dead of ${count(data.layers.length * data.experts)} experts`}
          </span>
        </h2>
        <div class="scroll-x">
          <table class="layers">
            <thead>
              <tr>
                <th>Layer</th>
                <th class="number">
                  <Term name="cv">CV</Term>
                </th>
                <th class="wide">
                  <span class="hidden-text">CV as a bar</span>
                </th>
                <th class="number">
                  <Term name="maxVio">MaxVio</Term>
                </th>
                <th class="number">
                  <Term name="evenness">Evenness</Term>
                </th>
                <th class="number">
                  <Term name="dead">Dead</Term>
                </th>
                <th class="number">Underused</th>
                <th class="number">Busiest</th>
              </tr>
            </thead>
            <tbody>
              {data.layers.map((of) => (
                <LayerRow
                  key={of.layer}
                  of={of}
                  most={largest(data.layers.map(({ cv }) => cv ?? 0))}
                  chosen={of.layer === layer}
                />
              ))}
            </tbody>
          </table>
        </div>
      </div>
    </section>
  );
}

const isDead = ({ count: used }: { readonly count: number }) => used === 0;

function LayerRow({
  of,
  most,
  chosen,
}: {
  readonly of: LayerBalance;
  readonly most: number;
  readonly chosen: boolean;
}) {
  const { layer, cv, maxVio, entropy, underused, sorted, shares } = of;
  return (
    <tr class={chosen ? "chosen" : ""}>
      <th scope="row">
        <button type="button" class="link" onClick={() => show({ layer }, { replace: false })}>
          {layer}
        </button>
      </th>
      <td class="number">{amount(cv ?? Number.NaN)}</td>
      <td class="wide">
        <span class="bar">
          <span
            class="bar-fill"
            style={{ width: `${(100 * (cv ?? 0)) / (most || 1)}%`, background: "var(--muted)" }}
          />
        </span>
      </td>
      <td class="number">{amount(maxVio ?? Number.NaN)}</td>
      <td class="number">{amount(entropy ?? Number.NaN)}</td>
      <td class="number">{count(underused.filter(isDead).length)}</td>
      <td class="number">{count(underused.length)}</td>
      <td class="number">
        E{sorted[0]} {percent(shares[sorted[0]!]!)}
      </td>
    </tr>
  );
}

function Underused({ layer: { layer, underused } }: { readonly layer: LayerBalance }) {
  if (underused.length === 0) return <p class="muted">No expert is below half its fair share.</p>;
  return (
    <>
      <h3>Below half the fair share</h3>
      <ol class="list tall">
        {underused.map(({ expert, count: used, share, interval, significant }) => (
          <li key={expert}>
            <button type="button" class="row" onClick={() => go("expert", { layer, expert })}>
              <span>
                E{expert} {used === 0 ? <strong class="warning-text">dead</strong> : percent(share)}
              </span>
              <span class="muted">
                {significant ? "" : "perhaps: "}at most {percent(interval[1])} (95 %)
              </span>
            </button>
          </li>
        ))}
      </ol>
    </>
  );
}

const HEIGHT = 340;
const LEFT = 40;
const BOTTOM = 32;
const TOP = 12;

/** A curve a layer: share over fair share by rank. The even layer would be the line at 1. */
function LoadCurves({
  report,
  chosen,
  svg,
}: {
  readonly report: BalanceFacts;
  readonly chosen: LayerBalance;
  readonly svg: { current: SVGSVGElement | null };
}) {
  const [box, width] = useWidth();
  const { layers, experts, fairShare } = report;
  const top = Math.max(2, largest(layers.map(({ sorted, shares }) => shares[sorted[0]!]! / fairShare)));
  const x = (rank: number) => LEFT + ((rank + 0.5) / experts) * (width - LEFT - 8);
  const y = (times: number) => TOP + (1 - times / top) * (HEIGHT - TOP - BOTTOM);
  const path = ({ sorted, shares }: LayerBalance) =>
    sorted
      .map(
        (expert, rank) =>
          `${rank === 0 ? "M" : "L"}${x(rank).toFixed(1)} ${y(shares[expert]! / fairShare).toFixed(1)}`,
      )
      .join("");
  const ticks = [0, 1, 2, 4, 8, 16].filter((tick) => tick <= top);
  const barWidth = Math.max(1, (width - LEFT - 8) / experts - 2);
  return (
    <div ref={box} class="chart" style={{ height: `${HEIGHT}px` }}>
      <svg
        ref={(made) => {
          svg.current = made;
        }}
        width={width}
        height={HEIGHT}
        role="img"
        aria-label={`Load of layer ${chosen.layer}: the busiest expert has ${amount(top)} times its fair share`}
        onPointerLeave={hideTooltip}
      >
        {ticks.map((tick) => (
          <g key={tick} class={tick === 1 ? "ideal" : "grid"}>
            <line x1={LEFT} x2={width - 8} y1={y(tick)} y2={y(tick)} />
            <text x={LEFT - 8} y={y(tick)} text-anchor="end" dominant-baseline="middle">
              {tick}×
            </text>
          </g>
        ))}
        {chosen.sorted.map((expert, rank) => {
          const times = chosen.shares[expert]! / fairShare;
          return (
            <rect
              key={expert}
              class={times === 0 ? "load dead" : "load"}
              x={x(rank) - barWidth / 2}
              y={times === 0 ? y(0) - 4 : y(times)}
              width={barWidth}
              height={times === 0 ? 4 : y(0) - y(times)}
              onPointerMove={(event) =>
                showTooltip(
                  event.clientX,
                  event.clientY,
                  <>
                    <strong>
                      Layer {chosen.layer}, expert {expert}
                    </strong>
                    <p>{times === 0 ? "never used" : `${times.toFixed(2)} × fair share`}</p>
                    <p class="muted">
                      {percent(chosen.shares[expert]!)} of {count(chosen.rows)} tokens
                    </p>
                  </>,
                )
              }
              onClick={() => go("expert", { layer: chosen.layer, expert })}
            />
          );
        })}
        {layers.map((of) => (
          <path key={of.layer} class={of === chosen ? "curve chosen" : "curve"} d={path(of)} />
        ))}
        <text class="ideal-name" x={width - 8} y={y(1) - 6} text-anchor="end">
          even load
        </text>
        {experts <= 64 &&
          chosen.sorted.map((expert, rank) => (
            <text key={expert} x={x(rank)} y={HEIGHT - BOTTOM + 14} text-anchor="middle">
              {barWidth > 14 ? expert : ""}
            </text>
          ))}
        <text x={LEFT} y={HEIGHT - 2}>
          experts of layer {chosen.layer}, busiest first
        </text>
      </svg>
    </div>
  );
}

const balanceCsv = ({ layers, fairShare }: BalanceFacts): string =>
  csv(
    ["layer", "rank", "expert", "share", "times_fair_share", "layer_cv", "layer_max_vio", "layer_evenness"],
    layers.flatMap(({ layer, sorted, shares, cv, maxVio, entropy }) =>
      sorted.map((expert, rank) => [
        layer,
        rank,
        expert,
        shares[expert]!,
        shares[expert]! / fairShare,
        cv,
        maxVio,
        entropy,
      ]),
    ),
  );
