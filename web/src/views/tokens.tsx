import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { CaptureDetails } from "../../../src/server/questions/capture.ts";
import type { MapFacts as Facts } from "../../../src/server/questions/map.ts";
import type { ViewProps } from "../app.tsx";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { Cell, HeatmapView } from "../canvas/heatmap-view.ts";
import { TiledCells } from "../canvas/tiled-cells.ts";
import type { Span } from "../canvas/viewport.ts";
import { categoryColour } from "../colour/categories.ts";
import { captureKey, hasStream } from "../data/captures.ts";
import { useResource } from "../data/resource.ts";
import { loadTile, useMapFacts } from "../data/routing.ts";
import { useKeys } from "../keys.ts";
import { useExports } from "../parts/export-menu.tsx";
import { CategoryLegend, RampLegend } from "../parts/legend.tsx";
import { count, plural } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { TokenCard } from "../parts/token-card.tsx";
import { TokenSearch } from "../parts/token-search.tsx";
import { param, route, show } from "../route.ts";
import { chosenLayer, chosenRow, filterSample, hovered } from "../selection.ts";
import { isDark, themeVersion } from "../theme.ts";
import {
  MEASURES,
  type MeasureColours,
  type MeasureName,
  measureColours,
  pixelOf,
  sayMeasure,
} from "./token-measures.ts";
import { visibleCsv } from "./tokens-csv.ts";
import { ExpertsOfLayer } from "./tokens-experts.tsx";
import { SampleJump, sampleGroups, sampleSaid } from "./tokens-samples.tsx";
import { Strip } from "./tokens-text.tsx";

const measureParam = param("m");
/** Tokens of each cell that the first picture of a long capture is made from: here in a second, real in some. */
const DRAFT_ROWS = 8;
/** The address and the strip follow when the map has come to rest for so long, in milliseconds. */
const REST = 150;

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
                token {count(column)}
                {valueSaid(cells, column)}, {sampleSaid(capture, column)}
              </p>
            </>
          )}
          sayCell={({ row: at, column }) =>
            `Token ${column}, layer ${layers[at]}: ${sayMeasure(measure, cells.value(at, column))}`
          }
        />
        <p class="axis-names muted small">
          tokens across, layers down · {plural(Math.round(span.length), "token")} of {count(rows)} in view
          {cellSaid(facts, measure, view.current, cells.drafted)}
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
  view: HeatmapView | null,
  drafted: boolean,
) {
  const draft = drafted && (view === null || view.awaits || view.level === levels - 1);
  const step = 2 ** (draft ? levels - 1 : view!.level);
  if (step === 1) return "";
  const how = measure === "top_expert" ? "the most frequent" : "the mean";
  const rows = Math.min(step, draft ? DRAFT_ROWS : cellRows);
  const of = rows < step ? `${rows} of its ${count(step)}` : `${step}`;
  return `, each cell ${how} of ${of} tokens${draft && rows < step ? "; the others are being read" : ""}`;
}

/** The same of the value at a column. */
function valueSaid(cells: TiledCells, column: number): string {
  const level = cells.levelOf(column) ?? 0;
  return level === 0 ? "" : `, with ${count(2 ** level - 1)} around it`;
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
