import type { ViewProps } from "../app.tsx";
import { useKeys } from "../keys.ts";
import { show } from "../route.ts";
import { chosenExpert, chosenLayer } from "../selection.ts";
import { announce } from "./announce.tsx";

/** The layer and expert that a view is about, within what the capture has. */
export function currentExpert(layers: readonly number[], experts: number): { layer: number; expert: number } {
  const layer = chosenLayer.value;
  const expert = chosenExpert.value;
  return {
    layer: layer !== null && layers.includes(layer) ? layer : layers[0]!,
    expert: expert !== null && expert < experts ? expert : 0,
  };
}

interface Props extends ViewProps {
  readonly layers: readonly number[];
  readonly layer: number;
  /** `null` for views of a whole layer. */
  readonly expert: number | null;
}

/** Chooses a layer and an expert: by list, and with the arrow keys where no map on the page has them. */
export function ExpertSteps({ capture, layers, layer, expert }: Props) {
  const experts = capture.model.moe?.experts ?? 0;
  const step = (layerBy: number, expertBy: number) => {
    // What is chosen now: keys can come faster than drawings.
    const now = currentExpert(layers, experts);
    const at = layers.indexOf(now.layer);
    const nextLayer = layers[Math.min(layers.length - 1, Math.max(0, at + layerBy))]!;
    const nextExpert = Math.min(experts - 1, Math.max(0, now.expert + expertBy));
    show({ layer: nextLayer, ...(expert !== null && { expert: nextExpert }) });
    announce(expert === null ? `Layer ${nextLayer}` : `Layer ${nextLayer}, expert ${nextExpert}`);
  };
  useKeys([
    { keys: ["ArrowUp"], does: "previous layer", run: () => step(-1, 0) },
    { keys: ["ArrowDown"], does: "next layer", run: () => step(1, 0) },
    ...(expert === null
      ? []
      : [
          { keys: ["ArrowLeft"], does: "previous expert", run: () => step(0, -1) },
          { keys: ["ArrowRight"], does: "next expert", run: () => step(0, 1) },
        ]),
  ]);
  return (
    <div class="filters">
      <label>
        <span>Layer</span>
        <select
          value={layer}
          onChange={(event) => show({ layer: event.currentTarget.value }, { replace: false })}
        >
          {layers.map((of) => (
            <option key={of} value={of}>
              {of}
            </option>
          ))}
        </select>
      </label>
      {expert !== null && (
        <label>
          <span>Expert</span>
          <select
            value={expert}
            onChange={(event) => show({ expert: event.currentTarget.value }, { replace: false })}
          >
            {Array.from({ length: experts }, (_, of) => (
              <option key={of} value={of}>
                {of}
              </option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}
