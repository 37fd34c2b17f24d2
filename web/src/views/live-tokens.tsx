import { useMemo } from "preact/hooks";
import type { TokenEvent } from "../../../src/server/jobs/schemas.ts";
import { OTHER_COLOUR, rankColours } from "../colour/categories.ts";
import { type ColourScale, colourOf, hexPixel, inkOn, pixelCss, VIRIDIS_RAMP } from "../colour/palette.ts";
import { type LiveRun, liveBusy } from "../data/live-run.ts";
import { CategoryLegend, RampLegend } from "../parts/legend.tsx";
import { amount } from "../parts/numbers.ts";
import { Term } from "../parts/term.tsx";
import { TokenStrip } from "../parts/token-strip.tsx";
import { TokenText } from "../parts/token-text.tsx";
import { param, show } from "../route.ts";
import { chosenLayer, hovered } from "../selection.ts";
import { isDark } from "../theme.ts";

const colourParam = param("by");

/** Entropy of a token: of the chosen layer, else the mean of all. */
function entropyOf({ entropy }: TokenEvent, line: number): number {
  if (line >= 0) return entropy[line] ?? Number.NaN;
  const known = entropy.filter((value) => value !== null);
  return known.length === 0 ? Number.NaN : known.reduce((sum, value) => sum + value, 0) / known.length;
}

interface TokensProps {
  readonly run: LiveRun;
  readonly hover: number | null;
  readonly kept: number | null;
  readonly onKeep: (row: number | null) => void;
}

/** The run's tokens as text, coloured by how sure the router was or by who came first. */
export function LiveTokens({ run, hover, kept, onKeep }: TokensProps) {
  const { tokens, layers, experts } = run;
  const byExpert = colourParam.value === "expert";
  const line = layers.indexOf(chosenLayer.value ?? -1);
  const expertLine = line >= 0 ? line : Math.floor(layers.length / 2);
  const dark = isDark();
  const scale = useMemo<ColourScale>(
    () => ({
      ramp: VIRIDIS_RAMP,
      min: 0,
      max: Math.log(experts),
      missing: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
    }),
    [experts, dark],
  );
  const colours = useMemo(() => {
    const counts = new Uint32Array(experts);
    for (const token of tokens) counts[token.experts[expertLine]![0]!]!++;
    return rankColours(counts);
  }, [byExpert && tokens, expertLine, experts]);
  const strip = tokens.map((token, row) => {
    const best = token.experts[expertLine]![0]!;
    const value = entropyOf(token, line);
    const pixel = byExpert ? hexPixel(colours[best]!) : colourOf(scale, value);
    return {
      row,
      text: token.text,
      generated: token.phase === "generated",
      colour: pixelCss(pixel),
      ink: inkOn(pixel),
      said: byExpert ? `expert ${best}` : `${amount(value)} nats`,
    };
  });
  const keep = (row: number) => onKeep(kept === row ? null : row);
  return (
    <div class="live-tokens">
      <div class="legends">
        <label class="inline">
          <span>Colour</span>
          <select
            value={byExpert ? "expert" : "entropy"}
            onChange={(event) => show({ by: event.currentTarget.value === "expert" ? "expert" : null })}
          >
            <option value="entropy">entropy</option>
            <option value="expert">top expert</option>
          </select>
        </label>
        <label class="inline">
          <span>of layer</span>
          <select
            value={line >= 0 ? layers[line] : ""}
            onChange={(event) => show({ layer: event.currentTarget.value })}
          >
            <option value="">{byExpert ? `${layers[expertLine]} (middle)` : "all, mean"}</option>
            {layers.map((layer) => (
              <option key={layer}>{layer}</option>
            ))}
          </select>
        </label>
        {byExpert ? (
          <CategoryLegend
            title={<Term name="top_expert">Top expert</Term>}
            categories={colours
              .map((colour, expert) => ({ name: `${expert}`, colour }))
              .filter(({ colour }) => colour !== OTHER_COLOUR)}
          />
        ) : (
          <RampLegend scale={scale} title={<Term name="entropy">Entropy</Term>} unit="nats" />
        )}
      </div>
      <TokenStrip
        tokens={strip}
        hovered={hover}
        chosen={kept}
        label="Tokens of the run"
        onHover={hoverRow}
        onPick={keep}
        after={liveBusy.value ? <li class="caret" aria-hidden="true" /> : <LastToken run={run} />}
      />
    </div>
  );
}

/** The token that was chosen last did not go through the model: it has a text and no routing. */
function LastToken({ run: { text, tokens } }: { readonly run: LiveRun }) {
  if (text === null) return null;
  const shown = tokens
    .filter(({ phase }) => phase === "generated")
    .map((token) => token.text)
    .join("");
  const last = text.startsWith(shown) ? text.slice(shown.length) : "";
  if (last === "") return null;
  return (
    <li>
      <span class="token unrouted" title="Chosen last and not run through the model: it has no routing.">
        <TokenText text={last} />
      </span>
    </li>
  );
}

const hoverRow = (row: number | null): void => {
  hovered.value = row === null ? null : { row };
};
