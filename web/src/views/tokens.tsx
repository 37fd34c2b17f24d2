import { useSignal } from "@preact/signals";
import { memo } from "preact/compat";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { CaptureDetails } from "../../../src/server/api/captures.ts";
import type { ViewProps } from "../app.tsx";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { Cell, HeatmapView } from "../canvas/heatmap-view.ts";
import { TiledCells } from "../canvas/tiled-cells.ts";
import type { Span } from "../canvas/viewport.ts";
import { categoryColour, OTHER_COLOUR } from "../colour/categories.ts";
import { hexPixel, inkOn, pixelCss, VIRIDIS_RAMP } from "../colour/palette.ts";
import { captureKey, hasStream } from "../data/captures.ts";
import { useResource } from "../data/resource.ts";
import { loadExpertTile, loadTile, useMapFacts } from "../data/routing.ts";
import { useRowWindow } from "../data/row-pages.ts";
import { useKeys } from "../keys.ts";
import { csv } from "../parts/csv.ts";
import { useExports } from "../parts/export-menu.tsx";
import { CategoryLegend, RampLegend } from "../parts/legend.tsx";
import { count, percent, plural } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { TokenCard } from "../parts/token-card.tsx";
import { TokenSearch } from "../parts/token-search.tsx";
import { TokenStrip } from "../parts/token-strip.tsx";
import { param, route, show } from "../route.ts";
import { chosenExpert, chosenLayer, chosenRow, filterSample, hovered } from "../selection.ts";
import { isDark, themeVersion } from "../theme.ts";
import {
  MEASURES,
  type MeasureColours,
  type MeasureName,
  measureColours,
  pixelOf,
  sayMeasure,
} from "./token-measures.ts";

const measureParam = param("m");
/** Tokens of each cell that the first picture of a long capture is made from: here in a second, real in some. */
const DRAFT_ROWS = 8;
/** Tokens of the strip: what a page holds without getting long. */
const MAX_STRIP = 240;
/** The address and the strip follow when the map has come to rest for so long, in milliseconds. */
const REST = 150;

type Facts = NonNullable<ReturnType<typeof useMapFacts>["data"]>;

/** Every token of a capture: across the text, down the layers. */
export function TokensView({ capture }: ViewProps) {
  const facts = useMapFacts(capture);
  if (facts.state === "error") return <ErrorNote error={facts.error} retry={facts.retry} />;
  if (!facts.data) return <Skeleton height={560} />;
  return <TokenMaps capture={capture} facts={facts.data} />;
}

function TokenMaps({ capture, facts }: ViewProps & { readonly facts: Facts }) {
  const available = MEASURES.filter(({ needs }) => needs === "" || hasStream(capture, needs));
  const measure = available.find(({ name }) => name === measureParam.value) ?? available[0]!;
  const of = facts.measures.find(({ name }) => name === measure.name)!;
  const dark = isDark();
  const overview = useResource(captureKey(capture, `map/${measure.name}/draft`), (signal) =>
    loadTile(capture, of, facts.levels - 1, 0, signal, DRAFT_ROWS),
  );
  const colours = useMemo(
    () => overview.data && measureColours(measure.name, facts.experts, overview.data, dark),
    [overview.data, measure.name, dark, themeVersion.value],
  );
  return (
    <section class="view">
      <div class="view-head">
        <h1>Tokens</h1>
        <div class="filters">
          <label>
            <span>Colour</span>
            <select
              value={measure.name}
              onChange={(event) => show({ m: event.currentTarget.value }, { replace: false })}
            >
              {available.map(({ name, title }) => (
                <option key={name} value={name}>
                  {title}
                </option>
              ))}
            </select>
          </label>
          <SampleJump capture={capture} />
          <TokenSearch capture={capture} />
        </div>
      </div>
      {overview.state === "error" ? (
        <ErrorNote error={overview.error} retry={overview.retry} />
      ) : colours ? (
        <MapsBody
          capture={capture}
          facts={facts}
          measure={measure.name}
          overview={overview.data!}
          colours={colours}
        />
      ) : (
        <Skeleton height={560} label="Computing the overview" />
      )}
    </section>
  );
}

interface BodyProps extends ViewProps {
  readonly facts: Facts;
  readonly measure: MeasureName;
  /** Values of the coarsest tile, from {@link DRAFT_ROWS} tokens of each cell. */
  readonly overview: Float32Array | Uint16Array;
  readonly colours: MeasureColours;
}

function MapsBody({ capture, facts, measure, overview, colours }: BodyProps) {
  const { layers, rows } = facts;
  const view = useRef<HeatmapView | null>(null);
  const dark = isDark();
  const [span, setSpan] = useState<Span>(() => spanOf(capture, rows));
  const resting = useSignal(span);
  const timer = useRef(0);
  const [tiles, countTiles] = useState(0);

  // The address may change from outside: a shared link, a sample that was jumped to, the way back.
  const asked = `${route.value.params.x}/${route.value.params.w}`;
  const written = useRef(asked);
  useEffect(() => {
    if (asked === written.current) return;
    written.current = asked;
    const next = spanOf(capture, rows);
    setSpan(next);
    resting.value = next;
  }, [asked]);

  const moved = (across: Span, whole: boolean) => {
    setSpan({ ...across });
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => {
      resting.value = across;
      const x = whole ? null : Math.round(across.start);
      const w = whole ? null : Math.round(across.length);
      written.current = `${x ?? undefined}/${w ?? undefined}`;
      show({ x, w });
    }, REST);
  };
  useEffect(() => () => clearTimeout(timer.current), []);

  const cells = useMemo(() => {
    const of = facts.measures.find(({ name }) => name === measure)!;
    return new TiledCells({
      rows: layers.length,
      columns: rows,
      levels: facts.levels,
      tileTexels: facts.tileCells,
      load: (level, tile, signal) => loadTile(capture, of, level, tile, signal),
      colour: pixelOf(colours, dark),
      draft: overview,
    });
  }, [capture, facts, measure, colours]);
  useEffect(() => {
    const stop = cells.onChange(() => countTiles((n) => n + 1));
    // The first drawing, which asked for tiles, was before this.
    countTiles((n) => n + 1);
    return () => {
      stop();
      cells.close();
    };
  }, [cells]);

  const layer =
    chosenLayer.value !== null && layers.includes(chosenLayer.value) ? chosenLayer.value : layers[0]!;
  const line = layers.indexOf(layer);
  const row = chosenRow.value !== null && chosenRow.value < rows ? chosenRow.value : null;
  const cursor = row === null ? null : { row: line, column: row };
  const hover = hovered.value;

  const rowAxis = useMemo(() => ({ name: "layer", label: (at: number) => `${layers[at]}` }), [layers]);
  const columnAxis = useMemo(() => ({ name: "token", label: count, labelWidth: 56 }), []);
  const groups = useMemo(() => sampleGroups(capture), [capture]);
  useKeys([{ keys: ["Escape"], does: "let go of the token", run: () => show({ row: null }) }]);

  useExports({
    name: `${capture.name}-${measure}`,
    png: () => canvasPng(view.current!.canvas, `Tokens by ${measure.replace("_", " ")}`, capture.name),
    csv: () => visibleCsv(facts, cells, span, measure),
  });

  const pick = ({ row: at, column }: Cell) =>
    show({ row: column, layer: layers[at]! }, { replace: row !== null });
  const focus = row ?? hover?.row ?? null;
  const height = Math.min(480, Math.max(120, layers.length * 24)) + 34;
  return (
    <div class="with-side">
      <div class="panel">
        <div class="legends">
          {colours.kind === "amount" ? (
            <RampLegend
              scale={colours.scale}
              title={<Term name={measure}>{MEASURES.find(({ name }) => name === measure)!.title}</Term>}
              unit={colours.unit}
              open={colours.open}
            />
          ) : (
            <CategoryLegend
              title={<Term name="top_expert">Top expert</Term>}
              categories={colours.shown.map((expert) => ({
                name: `${expert}`,
                colour: colours.colours[expert]!,
              }))}
              more={Math.max(0, facts.experts - colours.shown.length)}
            />
          )}
          {capture.labels.length > 0 && (
            <CategoryLegend
              title="Samples"
              categories={capture.labels.slice(0, 8).map((name, i) => ({ name, colour: categoryColour(i) }))}
              more={Math.max(0, capture.labels.length - 8)}
            />
          )}
        </div>
        {cells.error && <ErrorNote error={cells.error} retry={() => cells.retry()} />}
        <Heatmap
          label={`Tokens by ${measure}, layers by tokens`}
          cells={cells}
          rows={rowAxis}
          columns={columnAxis}
          groups={groups}
          zoom="columns"
          height={height}
          span={span}
          onSpan={moved}
          busy={cells.loading}
          cursor={cursor}
          chosen={cursor}
          hovered={
            hover && {
              row: hover.layer === undefined ? undefined : layers.indexOf(hover.layer),
              column: hover.row,
            }
          }
          onHover={(cell) => {
            hovered.value = cell && { layer: layers[cell.row]!, row: cell.column };
          }}
          onPick={pick}
          onView={(made) => {
            view.current = made;
          }}
          describe={({ row: at, column }) => (
            <>
              <strong>{sayMeasure(measure, cells.value(at, column))}</strong>
              <p>layer {layers[at]}</p>
              <p class="muted">
                token {count(column)}, {sampleSaid(capture, column)}
              </p>
            </>
          )}
          sayCell={({ row: at, column }) =>
            `Token ${column}, layer ${layers[at]}: ${sayMeasure(measure, cells.value(at, column))}`
          }
        />
        <p class="axis-names muted small">
          tokens across, layers down · {plural(Math.round(span.length), "token")} of {count(rows)} in view
          {cellSaid(facts, measure, view.current?.level ?? facts.levels - 1, cells.drafted)}
          <span class="by-keys">
            {" "}
            · wheel or <kbd>w</kbd> <kbd>s</kbd> zoom, drag or <kbd>a</kbd> <kbd>d</kbd> pan
          </span>
        </p>
        <ExpertsOfLayer capture={capture} facts={facts} layer={layer} span={span} onSpan={moved} row={row} />
        <Strip
          capture={capture}
          span={resting.value}
          rows={rows}
          focus={row}
          line={line}
          layer={layer}
          cells={cells}
          colours={colours}
          measure={measure}
          tiles={tiles}
        />
      </div>
      <aside class="side">
        <TokenCard capture={capture} row={focus} locked={row !== null} />
      </aside>
    </div>
  );
}

/** What a cell of the map stands for. */
function cellSaid(
  { levels, cellRows }: Facts,
  measure: MeasureName,
  level: number,
  drafted: boolean,
): string {
  if (level === 0) return "";
  const how = measure === "top_expert" ? "the most frequent" : "the mean";
  const step = 2 ** level;
  const draft = drafted && level === levels - 1;
  const rows = Math.min(step, draft ? DRAFT_ROWS : cellRows);
  const of = rows < step ? `${rows} of its ${count(step)}` : `${step}`;
  return `, each cell ${how} of ${of} tokens${draft && rows < step ? ", the others are being read" : ""}`;
}

/** The columns that the address names: `x` and `w`, else the sample, else all. */
function spanOf(capture: CaptureDetails, rows: number): Span {
  const { x, w } = route.peek().params;
  if (x !== undefined && w !== undefined && Number(w) > 0) return { start: Number(x), length: Number(w) };
  const sample = filterSample.peek();
  const from = sample === null ? undefined : capture.firstRows[sample];
  if (from === undefined) return { start: 0, length: rows };
  return { start: from, length: Math.max(1, (capture.firstRows[sample! + 1] ?? rows) - from) };
}

function SampleJump({ capture }: ViewProps) {
  const { samples, sampleLabels, firstRows, rows } = capture;
  const jump = (text: string) => {
    const sample = Number(text);
    if (text === "" || firstRows[sample] === undefined)
      show({ sample: null, x: null, w: null }, { replace: false });
    else {
      const from = firstRows[sample];
      show({ sample, x: from, w: Math.max(1, (firstRows[sample + 1] ?? rows) - from) }, { replace: false });
    }
  };
  if (samples < 2) return null;
  return (
    <label>
      <span>Sample</span>
      {samples <= 500 ? (
        <select value={filterSample.value ?? ""} onChange={(event) => jump(event.currentTarget.value)}>
          <option value="">all {count(samples)}</option>
          {sampleLabels.map((label, sample) => (
            <option key={sample} value={sample}>
              {sample}
              {label === null ? "" : ` · ${label}`}
            </option>
          ))}
        </select>
      ) : (
        <input
          type="number"
          min={0}
          max={samples - 1}
          value={filterSample.value ?? ""}
          placeholder={`0 to ${samples - 1}`}
          onChange={(event) => jump(event.currentTarget.value)}
        />
      )}
    </label>
  );
}

/** A bar for each sample, in its label's colour; neighbouring samples of a label are one where there are many. */
function sampleGroups({ sampleLabels, firstRows, labels, rows }: CaptureDetails) {
  if (sampleLabels.length > 5000) return [];
  const colour = (label: string | null) =>
    label === null ? OTHER_COLOUR : categoryColour(labels.indexOf(label));
  return sampleLabels.map((label, sample) => ({
    from: firstRows[sample]!,
    to: firstRows[sample + 1] ?? rows,
    colour: colour(label),
    label: label ?? `sample ${sample}`,
  }));
}

function sampleSaid({ firstRows, sampleLabels }: CaptureDetails, row: number): string {
  let sample = 0;
  while (sample + 1 < firstRows.length && firstRows[sample + 1]! <= row) sample++;
  const label = sampleLabels[sample];
  return `sample ${sample}${label ? ` (${label})` : ""}`;
}

/** Lines of a table that a spreadsheet still opens at once. */
const MAX_LINES = 50_000;

/** The tokens in view, each with its exact values; of more than fit a table, the means of 2, 4, 8 ... tokens. */
async function visibleCsv(
  { layers }: Facts,
  cells: TiledCells,
  span: Span,
  measure: MeasureName,
): Promise<string> {
  const from = Math.floor(span.start);
  const to = Math.min(cells.columns, Math.ceil(span.start + span.length));
  let level = 0;
  while (level < cells.levels - 1 && (to - from) >> level > MAX_LINES) level++;
  const texel = 2 ** level;
  const first = (from >> level) * texel;
  const lines = await cells.read(level, from, to);
  return csv(
    ["row", "rows", ...layers.map((layer) => `${measure}_layer_${layer}`)],
    lines.map((values, i) => {
      const row = first + i * texel;
      return [row, Math.min(texel, cells.columns - row), ...values];
    }),
  );
}

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
const Strip = memo(({ capture, span, rows, focus, line, layer, cells, colours, measure }: StripProps) => {
  const seenFrom = Math.max(0, Math.floor(span.start));
  const seenTo = Math.min(rows, Math.ceil(span.start + span.length));
  // Of a wide view the tokens around the chosen one, else the first.
  const around = focus !== null && seenTo - seenFrom > MAX_STRIP ? focus - MAX_STRIP / 2 : seenFrom;
  const from = Math.max(0, Math.min(around, rows - 1));
  const to = Math.min(rows, from + Math.min(MAX_STRIP, Math.max(1, seenTo - seenFrom)));
  const tokens = useRowWindow(capture, from, to);
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
});

const setHoveredRow = (row: number | null): void => {
  hovered.value = row === null ? null : { row };
};
const pickRow = (row: number): void =>
  show({ row: chosenRow.peek() === row ? null : row }, { replace: false });

interface ExpertsProps extends ViewProps {
  readonly facts: Facts;
  readonly layer: number;
  readonly span: Span;
  readonly onSpan: (span: Span, whole: boolean) => void;
  readonly row: number | null;
}

/** Token x expert for one layer: the weight each expert had. */
function ExpertsOfLayer({ capture, facts, layer, span, onSpan, row }: ExpertsProps) {
  const { experts, rows } = facts;
  const dark = isDark();
  const topK = capture.model.moe?.topK ?? 1;
  const scale = useMemo(
    () => ({
      ramp: VIRIDIS_RAMP,
      min: 0,
      max: 1,
      missing: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
      zero: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
    }),
    [dark],
  );
  const cells = useMemo(
    () =>
      new TiledCells({
        rows: experts,
        columns: rows,
        levels: facts.levels,
        tileTexels: facts.tileCells,
        load: (level, tile, signal) => loadExpertTile(capture, layer, level, tile, signal),
        colour: pixelOf({ kind: "amount", scale, unit: "", open: false }, dark),
      }),
    [capture, facts, layer, scale],
  );
  useEffect(() => () => cells.close(), [cells]);
  const rowAxis = useMemo(() => ({ name: "expert", label: String }), []);
  const columnAxis = useMemo(() => ({ name: "token", label: count, labelWidth: 56 }), []);
  const hover = hovered.value;
  const expert = chosenExpert.value;
  const height = Math.min(320, Math.max(96, experts * 12)) + 24;
  return (
    <figure class="sub-map">
      <figcaption class="strip-head">
        <h2>
          Experts of layer {layer}: <Term name="weight">weight</Term> of each
        </h2>
        <RampLegend scale={scale} title="" unit="weight" />
      </figcaption>
      <Heatmap
        label={`Weights of the experts of layer ${layer}, experts by tokens`}
        cells={cells}
        rows={rowAxis}
        columns={columnAxis}
        zoom="columns"
        height={height}
        span={span}
        onSpan={onSpan}
        keyboard={false}
        cursor={null}
        chosen={
          row === null && expert === null ? null : { row: expert ?? undefined, column: row ?? undefined }
        }
        hovered={hover && { row: hover.layer === layer ? hover.expert : undefined, column: hover.row }}
        onHover={(cell) => {
          hovered.value = cell && { layer, expert: cell.row, row: cell.column };
        }}
        onPick={({ row: at, column }) => show({ row: column, layer, expert: at }, { replace: false })}
        describe={({ row: at, column }) => {
          const value = cells.value(at, column);
          return (
            <>
              <strong>
                {value === undefined
                  ? "loading"
                  : value === 0
                    ? "not used"
                    : `${value.toPrecision(3)}${topK > 1 ? " weight" : ""}`}
              </strong>
              <p>
                layer {layer}, expert {at}
              </p>
              <p class="muted">token {count(column)}</p>
            </>
          );
        }}
        sayCell={({ row: at, column }) =>
          `Token ${column}, expert ${at}: ${percent(cells.value(at, column) ?? Number.NaN)}`
        }
      />
    </figure>
  );
}
