import { useMemo, useRef } from "preact/hooks";
import type { ComparisonReport, Usage } from "../../../src/server/api/analysis.ts";
import type { CaptureSummary } from "../../../src/server/api/captures.ts";
import type { ViewProps } from "../app.tsx";
import { matrixCells } from "../canvas/cells.ts";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { Cell, HeatmapView } from "../canvas/heatmap-view.ts";
import { type ColourScale, colourOf, DIVERGING_RAMP, hexPixel, inkOn } from "../colour/palette.ts";
import { captureList } from "../data/captures.ts";
import { ApiError } from "../data/request.ts";
import { useComparison, useUsage } from "../data/routing.ts";
import { csv } from "../parts/csv.ts";
import { useExports } from "../parts/export-menu.tsx";
import { RampLegend } from "../parts/legend.tsx";
import { amount, count, percent } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { TokenText } from "../parts/token-text.tsx";
import { usageScale, usageText } from "../parts/usage-scale.ts";
import { go, numberParam, param, show } from "../route.ts";
import { filterLabel, filterSample, hovered } from "../selection.ts";
import { isDark, themeVersion } from "../theme.ts";
import { mapHeight } from "./usage.tsx";

const otherId = param("b");
const otherLabel = param("blabel");
const otherSample = numberParam("bsample");
const MOVED = 10;

/** Two captures, or two kinds of text of one, side by side. */
export function CompareView({ capture }: ViewProps) {
  const others = captureList.value?.captures ?? [];
  const other = others.find(({ id }) => id === otherId.value) ?? capture;
  const same =
    other.id === capture.id &&
    filterLabel.value === otherLabel.value &&
    filterSample.value === otherSample.value;
  return (
    <section class="view">
      <div class="view-head">
        <h1>Compare</h1>
      </div>
      <div class="sides">
        <SideChoice
          name="A"
          captures={others}
          capture={capture}
          label={filterLabel.value}
          sample={filterSample.value}
          keys={{ capture: "c", label: "label", sample: "sample" }}
        />
        <SideChoice
          name="B"
          captures={others}
          capture={other}
          label={otherLabel.value}
          sample={otherSample.value}
          keys={{ capture: "b", label: "blabel", sample: "bsample" }}
        />
      </div>
      {same ? (
        <EmptyNote>
          A and B are the same. Choose another capture for B, such as the same prompts through a quantised
          model
          {capture.labels.length > 1 ? ", or another label of this one:" : "."}
          {capture.labels.length > 1 && (
            <p>
              <button
                type="button"
                class="primary"
                onClick={() =>
                  show({ label: capture.labels[0]!, blabel: capture.labels[1]! }, { replace: false })
                }
              >
                Compare {capture.labels[0]} with {capture.labels[1]}
              </button>
            </p>
          )}
        </EmptyNote>
      ) : (
        <Maps a={capture} b={other} />
      )}
      {other.id !== capture.id &&
        filterLabel.value === null &&
        otherLabel.value === null &&
        filterSample.value === null && <TokenByToken a={capture} b={other} />}
    </section>
  );
}

interface SideProps {
  readonly name: string;
  readonly captures: readonly CaptureSummary[];
  readonly capture: CaptureSummary;
  readonly label: string | null;
  readonly sample: number | null;
  readonly keys: { readonly capture: string; readonly label: string; readonly sample: string };
}

function SideChoice({ name, captures, capture, label, sample, keys }: SideProps) {
  return (
    <fieldset class="side-choice">
      <legend>{name}</legend>
      <label>
        <span class="hidden-text">Capture {name}</span>
        <select
          value={capture.id}
          onChange={(event) =>
            show(
              { [keys.capture]: event.currentTarget.value, [keys.label]: null, [keys.sample]: null },
              { replace: false },
            )
          }
        >
          {captures.map((of) => (
            <option key={of.id} value={of.id}>
              {of.name}
            </option>
          ))}
        </select>
      </label>
      {capture.labels.length > 0 && (
        <label>
          <span class="hidden-text">Label of {name}</span>
          <select
            value={label ?? ""}
            onChange={(event) => show({ [keys.label]: event.currentTarget.value }, { replace: false })}
          >
            <option value="">all labels</option>
            {capture.labels.map((of) => (
              <option key={of}>{of}</option>
            ))}
          </select>
        </label>
      )}
      <label class="inline">
        <span>sample</span>
        <input
          type="number"
          min={0}
          max={capture.samples - 1}
          placeholder="all"
          value={sample ?? ""}
          onChange={(event) => show({ [keys.sample]: event.currentTarget.value }, { replace: false })}
        />
      </label>
    </fieldset>
  );
}

function timesFair({ layers, experts, fairShare }: Usage): Float32Array {
  const values = new Float32Array(layers.length * experts);
  layers.forEach(({ rows, counts }, line) => {
    for (let e = 0; e < experts; e++)
      values[line * experts + e] = rows === 0 ? Number.NaN : counts[e]! / rows / fairShare;
  });
  return values;
}

function Maps({ a, b }: { readonly a: CaptureSummary; readonly b: CaptureSummary }) {
  const usageA = useUsage(a, { label: filterLabel.value, sample: filterSample.value });
  const usageB = useUsage(b, { label: otherLabel.value, sample: otherSample.value });
  const view = useRef<HeatmapView | null>(null);
  const dark = isDark();
  const version = themeVersion.value;
  const ready = usageA.data && usageB.data;
  const comparable =
    ready &&
    usageA.data!.experts === usageB.data!.experts &&
    usageA.data!.layers.length === usageB.data!.layers.length;
  const maps = useMemo(() => {
    if (!comparable) return null;
    const [left, right] = [timesFair(usageA.data!), timesFair(usageB.data!)];
    return { left, right, difference: right.map((value, i) => value - left[i]!) };
  }, [comparable, usageA.data, usageB.data]);
  const scales = useMemo(() => {
    const missing = hexPixel(dark ? "#1e2226" : "#f1f1ee");
    const top = maps ? topOf(maps.difference) : 1;
    const difference: ColourScale = { ramp: DIVERGING_RAMP, min: -top, max: top, missing };
    return { usage: usageScale(dark), difference };
  }, [dark, version, maps]);
  useExports(
    maps
      ? {
          name: `${a.name}-against-${b.name}`,
          png: () =>
            canvasPng(
              view.current!.canvas,
              "Difference of usage, B − A, in fair shares",
              `A ${a.name}, B ${b.name}`,
            ),
          csv: () => {
            const { layers, experts } = usageA.data!;
            return csv(
              ["layer", "expert", "a_times_fair", "b_times_fair", "difference"],
              layers.flatMap(({ layer }, line) =>
                Array.from({ length: experts }, (_, e) => {
                  const at = line * experts + e;
                  return [layer, e, maps.left[at]!, maps.right[at]!, maps.difference[at]!];
                }),
              ),
            );
          },
        }
      : null,
  );
  const failed = [usageA, usageB].find((usage) => usage.state === "error");
  if (failed?.state === "error") return <ErrorNote error={failed.error} retry={failed.retry} />;
  const height = Math.min(420, mapHeight(a.model.moe?.layers.length ?? 1));
  if (!ready) return <Skeleton height={2 * height} />;
  if (!comparable || !maps)
    return (
      <EmptyNote>
        The models differ: {a.model.name} has {a.model.moe?.layers.length ?? 0} MoE layers of{" "}
        {a.model.moe?.experts ?? 0} experts, {b.model.name} {b.model.moe?.layers.length ?? 0} of{" "}
        {b.model.moe?.experts ?? 0}. Only like can be compared cell by cell.
      </EmptyNote>
    );
  const shared = { usage: usageA.data!, maps, height };
  return (
    <>
      <div class="pair">
        <div class="panel">
          <h2>A</h2>
          <RampLegend
            scale={scales.usage}
            title={<Term name="usage">Usage</Term>}
            unit="× fair share"
            open
            mark={{ value: 1, text: "fair" }}
            zero="never used"
          />
          <SideMap {...shared} values={maps.left} scale={scales.usage} name="A" />
        </div>
        <div class="panel">
          <h2>B</h2>
          <RampLegend
            scale={scales.usage}
            title={<Term name="usage">Usage</Term>}
            unit="× fair share"
            open
            mark={{ value: 1, text: "fair" }}
            zero="never used"
          />
          <SideMap {...shared} values={maps.right} scale={scales.usage} name="B" />
        </div>
      </div>
      <div class="panel">
        <h2>Difference, B − A</h2>
        <RampLegend
          scale={scales.difference}
          title=""
          unit="fair shares; red: more in B"
          open
          mark={{ value: 0, text: "same" }}
        />
        <SideMap
          {...shared}
          values={maps.difference}
          scale={scales.difference}
          name="the difference"
          onView={(made) => {
            view.current = made;
          }}
        />
      </div>
    </>
  );
}

interface SideMapProps {
  readonly usage: Usage;
  readonly maps: {
    readonly left: Float32Array;
    readonly right: Float32Array;
    readonly difference: Float32Array;
  };
  readonly values: Float32Array;
  readonly scale: ColourScale;
  readonly name: string;
  readonly height: number;
  readonly onView?: (view: HeatmapView) => void;
}

/** Where 95 % of the differences lie below, rounded up: the scale of captures that hardly differ must show it. */
function topOf(differences: Float32Array): number {
  const sizes = differences.map(Math.abs).filter(Number.isFinite).sort();
  const wanted = sizes[Math.floor(0.95 * (sizes.length - 1))] ?? 0;
  return [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4].find((top) => wanted <= top) ?? 8;
}

/** A difference with the digits that its scale shows, and no minus before a zero. */
const differenceText = (scale: ColourScale) => (_: Cell, value: number) => {
  const digits = Math.max(1, Math.ceil(1 - Math.log10(scale.max)));
  const rounded = Number(value.toFixed(digits));
  return {
    text: Number.isNaN(value) ? "" : rounded === 0 ? "0" : value.toFixed(digits).replace("-", "−"),
    ink: inkOn(colourOf(scale, value)),
  };
};

/** One of the three maps; what is hovered in one lights up in all. */
function SideMap({ usage, maps, values, scale, name, height, onView }: SideMapProps) {
  const { layers, experts } = usage;
  const cells = useMemo(() => matrixCells(values, layers.length, experts, scale), [values, scale]);
  const rows = useMemo(
    () => ({ name: "layer", label: (line: number) => `${layers[line]!.layer}` }),
    [layers],
  );
  const columns = useMemo(() => ({ name: "expert", label: String }), []);
  const cellText = useMemo(
    () => (scale.zero === undefined ? differenceText(scale) : usageText(scale)),
    [scale],
  );
  const hover = hovered.value;
  const said = (at: number) =>
    `A ${amount(maps.left[at]!)}, B ${amount(maps.right[at]!)}, B − A ${amount(maps.difference[at]!)} fair shares`;
  return (
    <Heatmap
      label={`Usage in ${name}, layers by experts`}
      cells={cells}
      rows={rows}
      columns={columns}
      zoom="none"
      keyboard={name === "the difference"}
      height={height}
      cellText={cellText}
      cursor={null}
      chosen={null}
      hovered={
        hover?.layer === undefined
          ? null
          : { row: layers.findIndex(({ layer }) => layer === hover.layer), column: hover.expert }
      }
      onHover={(cell) => {
        hovered.value = cell && { layer: layers[cell.row]!.layer, expert: cell.column };
      }}
      onPick={({ row, column }) => go("expert", { layer: layers[row]!.layer, expert: column })}
      {...(onView && { onView })}
      describe={({ row, column }) => (
        <>
          <strong>
            Layer {layers[row]!.layer}, expert {column}
          </strong>
          <p>{said(row * experts + column)}</p>
        </>
      )}
      sayCell={({ row, column }) =>
        `Layer ${layers[row]!.layer}, expert ${column}: ${said(row * experts + column)}`
      }
    />
  );
}

/** The same prompts through both: token by token. */
function TokenByToken({ a, b }: { readonly a: CaptureSummary; readonly b: CaptureSummary }) {
  const comparison = useComparison(a, b);
  if (comparison.state === "error")
    return comparison.error instanceof ApiError && comparison.error.status < 500 ? (
      <EmptyNote>
        <p>
          <strong>Not comparable token by token.</strong> {comparison.error.message}
        </p>
      </EmptyNote>
    ) : (
      <ErrorNote error={comparison.error} retry={comparison.retry} />
    );
  if (!comparison.data) return <Skeleton height={360} label="Comparing token by token" />;
  const { rows, onlyA, onlyB, exact, layers, moved } = comparison.data;
  return (
    <div class="cards">
      <div class="card">
        <h2>
          <Term name="agreement">Agreement</Term>
        </h2>
        <p class="figure">
          <span>{percent(exact)}</span> same experts
        </p>
        <p class="muted">
          of {count(rows)} tokens in both
          {onlyA + onlyB > 0 ? `; ${count(onlyA)} only in A, ${count(onlyB)} only in B` : ""}
        </p>
      </div>
      <div class="card span-2">
        <h2>By layer</h2>
        <LayerTable layers={layers} />
      </div>
      {moved.length > 0 && (
        <div class="card span-all">
          <h2>Tokens that moved most</h2>
          <div class="scroll-x">
            <table>
              <thead>
                <tr>
                  <th>Token</th>
                  <th class="number">sample</th>
                  <th class="number">position</th>
                  <th class="number">
                    <Term name="js">divergence</Term>
                  </th>
                  <th class="number">
                    <Term name="overlap">overlap</Term>
                  </th>
                  <th class="number">first layer</th>
                </tr>
              </thead>
              <tbody>
                {moved.slice(0, MOVED).map(({ sample, position, text, js, overlap, firstLayer }) => (
                  <tr key={`${sample}/${position}`}>
                    <td>
                      <span class="token shown">
                        <TokenText text={text} />
                      </span>
                    </td>
                    <td class="number">{sample}</td>
                    <td class="number">{position}</td>
                    <td class="number">{amount(js ?? Number.NaN)}</td>
                    <td class="number">{percent(overlap)}</td>
                    <td class="number">{firstLayer < 0 ? "–" : firstLayer}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </div>
      )}
    </div>
  );
}

const LayerTable = ({ layers }: { readonly layers: ComparisonReport["layers"] }) => (
  <div class="scroll-x">
    <table>
      <thead>
        <tr>
          <th>Layer</th>
          <th class="wide">same experts</th>
          <th class="number">
            <Term name="overlap">overlap</Term>
          </th>
          <th class="number">
            <Term name="js">divergence</Term>
          </th>
          <th class="number">first to differ</th>
        </tr>
      </thead>
      <tbody>
        {layers.map(({ layer, exact, overlap, js, firstToDiffer }) => (
          <tr key={layer}>
            <th scope="row">{layer}</th>
            <td class="wide">
              <span class="bar">
                <span class="bar-fill" style={{ width: `${100 * exact}%`, background: "var(--muted)" }} />
              </span>
              <span class="bar-value">{percent(exact)}</span>
            </td>
            <td class="number">{percent(overlap)}</td>
            <td class="number">{amount(js ?? Number.NaN)}</td>
            <td class="number">{count(firstToDiffer)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);
