import { memo } from "preact/compat";
import { useEffect, useMemo } from "preact/hooks";
import type { ViewProps } from "../app.tsx";
import type { TiledCells } from "../canvas/tiled-cells.ts";
import type { Span } from "../canvas/viewport.ts";
import { inkOn, pixelCss } from "../colour/palette.ts";
import { useRowWindow } from "../data/row-pages.ts";
import { count, plural } from "../parts/numbers.ts";
import { Skeleton } from "../parts/states.tsx";
import { TokenStrip } from "../parts/token-strip.tsx";
import { show } from "../route.ts";
import { chosenRow, hovered } from "../selection.ts";
import { isDark } from "../theme.ts";
import { type MeasureColours, type MeasureName, pixelOf, sayMeasure } from "./token-measures.ts";

/** Tokens of the strip: what a page holds without getting long. */
const MAX_STRIP = 240;

interface StripProps extends ViewProps {
  readonly span: Span;
  readonly rows: number;
  readonly focus: number | null;
  readonly line: number;
  readonly layer: number;
  readonly cells: TiledCells;
  readonly colours: MeasureColours;
  readonly measure: MeasureName;
  /** Counts the tiles that came: with them come colours. */
  readonly tiles: number;
}

/** The text in view, coloured by the chosen layer. */
export const Strip = memo(
  ({ capture, span, rows, focus, line, layer, cells, colours, measure }: StripProps) => {
    const seenFrom = Math.max(0, Math.floor(span.start));
    const seenTo = Math.min(rows, Math.ceil(span.start + span.length));
    // Of a wide view the tokens around the chosen one, else the first.
    const around = focus !== null && seenTo - seenFrom > MAX_STRIP ? focus - MAX_STRIP / 2 : seenFrom;
    const from = Math.max(0, Math.min(around, rows - 1));
    const to = Math.min(rows, from + Math.min(MAX_STRIP, Math.max(1, seenTo - seenFrom)));
    const tokens = useRowWindow(capture, from, to);
    // Of each token its own colour, also where the map shows means of many.
    useEffect(() => {
      const controller = new AbortController();
      // The map says when the server is gone.
      cells.read(0, from, to, controller.signal).catch(() => {});
      return () => controller.abort();
    }, [cells, from, to]);
    const dark = isDark();
    const colourOfValue = useMemo(() => pixelOf(colours, dark), [colours, dark]);
    const strip = tokens?.map(({ row, text, generated }) => {
      const value = cells.value(line, row);
      const pixel = value === undefined ? null : colourOfValue(value);
      return {
        row,
        text,
        generated,
        colour: pixel === null ? null : pixelCss(pixel),
        ink: pixel === null ? "" : inkOn(pixel),
        said: sayMeasure(measure, value),
      };
    });
    return (
      <div class="strip-block">
        <div class="strip-head">
          <h2>Text, coloured by layer {layer}</h2>
          <span class="muted small">
            {to - from < seenTo - seenFrom
              ? `${plural(to - from, "token")} of the ${count(seenTo - seenFrom)} in view; zoom in for others`
              : plural(to - from, "token")}
            {tokens?.some(({ generated }) => generated) ? " · underlined: generated" : ""}
          </span>
        </div>
        {strip ? (
          <TokenStrip
            tokens={strip}
            hovered={hovered.value?.row ?? null}
            chosen={focus}
            label="Tokens in view"
            onHover={setHoveredRow}
            onPick={pickRow}
          />
        ) : (
          <Skeleton height={120} />
        )}
      </div>
    );
  },
);

const setHoveredRow = (row: number | null): void => {
  hovered.value = row === null ? null : { row };
};
const pickRow = (row: number): void =>
  show({ row: chosenRow.peek() === row ? null : row }, { replace: false });
