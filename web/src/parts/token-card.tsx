import type { ViewProps } from "../app.tsx";
import { type TokenRouting, useTokenRouting } from "../data/routing.ts";
import { go } from "../route.ts";
import { chosenLayer, hovered } from "../selection.ts";
import { ErrorNote, Skeleton } from "./states.tsx";
import { Term } from "./term.tsx";
import { TokenText } from "./token-text.tsx";

interface Props extends ViewProps {
  readonly row: number | null;
  /** Chosen, not only hovered. */
  readonly locked: boolean;
}

/** One token: who served it in each layer. */
export function TokenCard({ capture, row, locked }: Props) {
  const routing = useTokenRouting(capture, row);
  if (row === null)
    return (
      <div class="card hint">
        <h2>Choose a token</h2>
        <p class="muted">
          Hover a token to see who serves it in each layer; click to keep it here. <kbd>/</kbd> finds tokens
          by text.
        </p>
      </div>
    );
  if (routing.state === "error") return <ErrorNote error={routing.error} retry={routing.retry} />;
  if (!routing.data) return <Skeleton height={360} />;
  const { text, sample, position, tokenId, phase, label } = routing.data;
  return (
    <div class="card">
      <h2 class="token-title">
        <span class="token shown">
          <TokenText text={text} />
        </span>
        {locked && <span class="muted small">kept · esc lets go</span>}
      </h2>
      <p class="muted small">
        token {row} · id {tokenId} · position {position} of sample {sample}
        {label ? ` (${label})` : ""} · {phase}
      </p>
      <RoutingTable layers={routing.data.layers} />
    </div>
  );
}

/** Experts by layer, best first, with their weights as bars. */
export function RoutingTable({
  layers,
  onExpert = (layer, expert) => go("expert", { layer, expert }),
}: {
  readonly layers: TokenRouting["layers"];
  readonly onExpert?: (layer: number, expert: number) => void;
}) {
  const withEntropy = layers.some(({ entropy }) => entropy !== null);
  return (
    <div class="scroll-x">
      <table class="routing">
        <thead>
          <tr>
            <th>Layer</th>
            <th>
              Experts and their <Term name="weight">weights</Term>
            </th>
            {withEntropy && (
              <th class="number">
                <Term name="entropy">Entropy</Term>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {layers.map(({ layer, experts, weights, entropy }) => (
            <tr key={layer} class={layer === chosenLayer.value ? "chosen" : ""}>
              <th scope="row">{layer}</th>
              <td>
                <span class="chips">
                  {experts.map((expert, i) => (
                    <button
                      type="button"
                      class="chip"
                      key={expert}
                      onPointerEnter={() => {
                        hovered.value = { ...hovered.peek(), layer, expert };
                      }}
                      onClick={() => onExpert(layer, expert)}
                    >
                      <span class="chip-bar" style={{ width: `${100 * Math.min(1, weights?.[i] ?? 0)}%` }} />
                      <span class="hidden-text">Layer {layer}, expert </span>
                      <span class="chip-name">{expert}</span>
                      {weights && (
                        <>
                          <span class="hidden-text">, weight </span>
                          <span class="chip-weight">{weights[i]!.toFixed(2)}</span>
                        </>
                      )}
                    </button>
                  ))}
                </span>
              </td>
              {withEntropy && <td class="number">{entropy === null ? "–" : entropy.toFixed(2)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
