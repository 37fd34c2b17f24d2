import type { LayerFlow } from "../../../src/analysis/measures/flows.ts";
import type { RoutingPaths } from "../../../src/analysis/measures/paths.ts";
import { largest } from "../../../src/core/extremes.ts";
import type { ViewProps } from "../app.tsx";
import { useAnalysis } from "../data/routing.ts";
import { ExpertName } from "../parts/expert-name.tsx";
import { amount, count, percent } from "../parts/numbers.ts";
import { ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { TokenText } from "../parts/token-text.tsx";
import { hideTooltip, showTooltip } from "../parts/tooltip.tsx";
import { useWidth } from "../parts/use-width.ts";
import { go } from "../route.ts";
import { hovered } from "../selection.ts";

const FLOW_HEIGHT = 420;
const FLOW_TOP = 24;
const FLOW_LEFT = 32;
/** Experts whose numbers have the room to stand beside them. */
const MAX_NAMED = 32;
const NAME_GAP = 8;

/** Layers left to right, experts top to bottom, bands where tokens of one go on to another more than chance explains. */
export function Flow({ capture, layer }: ViewProps & { readonly layer: number }) {
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
        <span class="muted">
          points: experts; bands: pairs that follow each other beyond chance, wider for more tokens
        </span>
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
  const most = Math.max(1, largest(flows.flatMap(({ edges }) => edges.map((edge) => edge.count))));
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
              {of === layers[0] ? "layer " : ""}
              {of}
            </text>
            {experts <= MAX_NAMED &&
              Array.from({ length: experts }, (_, expert) => (
                <text
                  key={expert}
                  class="node-name"
                  x={x(of) + (of === layers[0] ? -NAME_GAP : NAME_GAP)}
                  y={y(expert)}
                  text-anchor={of === layers[0] ? "end" : "start"}
                >
                  {expert}
                </text>
              ))}
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
