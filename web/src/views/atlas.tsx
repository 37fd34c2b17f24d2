import { useEffect, useMemo, useRef } from "preact/hooks";
import type { AtlasPoint, ExpertAtlas } from "../../../src/analysis/expert-atlas.ts";
import { largest, smallest } from "../../../src/core/extremes.ts";
import type { ViewProps } from "../app.tsx";
import { categoryColour } from "../colour/categories.ts";
import { routedLayers } from "../data/captures.ts";
import { useAtlas } from "../data/routing.ts";
import { csv } from "../parts/csv.ts";
import { ExpertName } from "../parts/expert-name.tsx";
import { currentExpert, ExpertSteps } from "../parts/expert-steps.tsx";
import { useExports } from "../parts/export-menu.tsx";
import { CategoryLegend } from "../parts/legend.tsx";
import { amount, percent, plural } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { hideTooltip, showTooltip } from "../parts/tooltip.tsx";
import { useWidth } from "../parts/use-width.ts";
import { go, param, show } from "../route.ts";
import { chosenExpert, chosenLayer, hovered } from "../selection.ts";
import { themeVersion, token } from "../theme.ts";

/** Of the map, in pixels; on a phone it is as high as wide. */
const MAX_HEIGHT = 560;
const PAD = 56;
/** A pointer this near (pixels) to a point is on it. */
const NEAR = 18;
const onlyLayer = param("only");

/** Every expert of every layer as a point, by what it serves. */
export function AtlasView({ capture }: ViewProps) {
  const atlas = useAtlas(capture);
  const layers = routedLayers(capture);
  if (layers.length === 0) return <EmptyNote>This capture does not tell which experts were used.</EmptyNote>;
  const { layer, expert } = currentExpert(layers, capture.model.moe!.experts);
  return (
    <section class="view">
      <div class="view-head">
        <h1>
          <Term name="atlas">Atlas of experts</Term>
        </h1>
        <div class="filters">
          <ExpertSteps capture={capture} layers={layers} layer={layer} expert={expert} />
          <label class="inline">
            <input
              type="checkbox"
              checked={onlyLayer.value !== null}
              onChange={(event) => show({ only: event.currentTarget.checked ? 1 : null })}
            />
            this layer only
          </label>
        </div>
      </div>
      {atlas.state === "error" ? (
        <ErrorNote error={atlas.error} retry={atlas.retry} />
      ) : !atlas.data ? (
        <Skeleton height={MAX_HEIGHT} label="Finding what each expert serves" />
      ) : atlas.data.points.length === 0 || atlas.data.groups.length < 2 ? (
        <EmptyNote>
          There are too few different texts to tell experts apart. Capture samples of several labels, such as
          <pre>npx moescope capture model.gguf --prompts texts.jsonl --out runs/one</pre>
        </EmptyNote>
      ) : (
        <Atlas capture={capture} atlas={atlas.data} layer={layer} />
      )}
    </section>
  );
}

function Atlas({
  capture,
  atlas,
  layer,
}: ViewProps & { readonly atlas: ExpertAtlas; readonly layer: number }) {
  const [box, width] = useWidth();
  const canvas = useRef<HTMLCanvasElement>(null);
  const { groups, points, corners, dead, explained, by } = atlas;
  const shown = onlyLayer.value === null ? points : points.filter((point) => point.layer === layer);
  const height = Math.min(MAX_HEIGHT, Math.max(240, width));
  const place = useMemo(() => placing(atlas, width, height), [atlas, width, height]);
  // Colours are those of the labels, which other views number the same.
  const colour = (group: number) =>
    categoryColour(by === "label" ? capture.labels.indexOf(groups[group]!) : group);
  const chosen = points.find((p) => p.layer === chosenLayer.value && p.expert === chosenExpert.value);
  const hover = points.find((p) => p.layer === hovered.value?.layer && p.expert === hovered.value?.expert);
  const version = themeVersion.value;

  useEffect(() => {
    const ratio = devicePixelRatio || 1;
    const context = canvas.current!.getContext("2d")!;
    canvas.current!.width = width * ratio;
    canvas.current!.height = height * ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    drawSpokes(context, atlas, place);
    for (const point of shown) drawPoint(context, point, place, colour(point.group));
    for (const point of [hover, chosen]) if (point) drawRing(context, point, place, point === chosen);
    drawCorners(context, atlas, place, colour);
  }, [atlas, width, shown.length, layer, chosen, hover, version]);

  const nearest = (event: PointerEvent | MouseEvent): AtlasPoint | null => {
    const { left, top } = canvas.current!.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    let best: AtlasPoint | null = null;
    let least = NEAR;
    for (const point of shown) {
      const [px, py] = place(point);
      const distance = Math.hypot(px - x, py - y);
      if (distance < least) {
        least = distance;
        best = point;
      }
    }
    return best;
  };
  useExports({
    name: `${capture.name}-atlas`,
    png: () => canvasPng(canvas.current!, "Atlas of experts", `${capture.name}, by ${by}`),
    csv: () =>
      csv(
        [
          "layer",
          "expert",
          "x",
          "y",
          "times_fair_share",
          `top_${by.replace(" ", "_")}`,
          "part",
          "beyond_chance",
        ],
        points.map((p) => [
          p.layer,
          p.expert,
          p.x,
          p.y,
          p.timesFair,
          groups[p.group]!,
          p.part,
          p.significant ? 1 : 0,
        ]),
      ),
  });
  const focus = hover ?? chosen ?? null;
  return (
    <div class="with-side">
      <div class="panel">
        <CategoryLegend
          title={by === "label" ? "Serves most" : "Serves most (kind of token)"}
          categories={groups.map((name, group) => ({ name, colour: colour(group) }))}
        />
        <div
          ref={box}
          class="atlas"
          role="img"
          aria-label={`${points.length} experts placed by what they serve: ${groups
            .map((name, g) => `${points.filter((p) => p.group === g).length} mostly ${name}`)
            .join(", ")}`}
          style={{ height: `${height}px` }}
          onPointerMove={(event) => {
            const point = nearest(event);
            hovered.value = point && { layer: point.layer, expert: point.expert };
            if (point)
              showTooltip(
                event.clientX,
                event.clientY,
                <PointText point={point} group={groups[point.group]!} />,
              );
            else hideTooltip();
          }}
          onPointerLeave={() => {
            hovered.value = null;
            hideTooltip();
          }}
          onClick={(event) => {
            const point = nearest(event);
            if (point) show({ layer: point.layer, expert: point.expert }, { replace: false });
          }}
        >
          <canvas ref={canvas} aria-hidden="true" />
        </div>
        <p class="axis-names muted small">
          filled: serves that {by} beyond chance (q ≤ 0.05) · hollow: may be chance · larger: works more · the
          plane shows {percent(explained[0] + explained[1])} of how experts differ
          {dead.length > 0 ? ` · ${plural(dead.length, "dead expert")} not shown` : ""}
        </p>
      </div>
      <aside class="side">
        {focus ? (
          <div class="card">
            <h2>
              <ExpertName layer={focus.layer} expert={focus.expert} />
            </h2>
            <PointText point={focus} group={groups[focus.group]!} named />
            <button
              type="button"
              class="primary"
              onClick={() => go("expert", { layer: focus.layer, expert: focus.expert })}
            >
              Open the expert
            </button>
          </div>
        ) : (
          <div class="card hint">
            <h2>Choose an expert</h2>
            <p class="muted">Each point is an expert. Hover one for what it serves; click to keep it.</p>
          </div>
        )}
        <div class="card">
          <h2>Experts by what they serve most</h2>
          <dl class="facts">
            {corners.map(({ group }, g) => (
              <>
                <dt key={group}>{group}</dt>
                <dd>
                  {points.filter((p) => p.group === g).length},{" "}
                  {points.filter((p) => p.group === g && p.significant).length} beyond chance
                </dd>
              </>
            ))}
          </dl>
        </div>
      </aside>
    </div>
  );
}

const PointText = ({
  point,
  group,
  named = false,
}: {
  readonly point: AtlasPoint;
  readonly group: string;
  /** Whether it stands below the expert's name. */
  readonly named?: boolean;
}) => (
  <>
    <p>
      <strong>{group}</strong> is {percent(point.part)} of its mix
      {point.significant ? "" : ", which may be chance"}
    </p>
    <p class="muted">
      {named ? "" : `layer ${point.layer}, expert ${point.expert} · `}
      {amount(point.timesFair)} × fair share
    </p>
  </>
);

type Place = (point: { readonly x: number; readonly y: number }) => [number, number];

/** Same scale on both axes, so that distances mean the same in every direction. */
function placing({ points, corners }: ExpertAtlas, width: number, height: number): Place {
  const all = [...points, ...corners];
  const xs = all.map(({ x }) => x);
  const ys = all.map(({ y }) => y);
  const [left, right] = [smallest(xs), largest(xs)];
  const [low, high] = [smallest(ys), largest(ys)];
  const scale = Math.min((width - 2 * PAD) / (right - left || 1), (height - 2 * PAD) / (high - low || 1));
  return ({ x, y }) => [
    width / 2 + (x - (left + right) / 2) * scale,
    height / 2 - (y - (low + high) / 2) * scale,
  ];
}

const radius = ({ timesFair }: AtlasPoint) => 3.5 + 4 * Math.sqrt(Math.min(4, timesFair));

function drawSpokes(context: CanvasRenderingContext2D, { corners }: ExpertAtlas, place: Place): void {
  context.strokeStyle = token("line");
  context.lineWidth = 1;
  for (const corner of corners) {
    context.beginPath();
    context.moveTo(...place({ x: 0, y: 0 }));
    context.lineTo(...place(corner));
    context.stroke();
  }
}

/** Names last, with a rim in the page's colour: they are read across points. */
function drawCorners(
  context: CanvasRenderingContext2D,
  { corners }: ExpertAtlas,
  place: Place,
  colour: (group: number) => string,
): void {
  const [cx, cy] = place({ x: 0, y: 0 });
  context.font = "600 12px Inter, system-ui, sans-serif";
  context.lineJoin = "round";
  corners.forEach((corner, group) => {
    const [x, y] = place(corner);
    context.fillStyle = colour(group);
    context.fillRect(x - 4, y - 4, 8, 8);
    context.textAlign = x < cx ? "right" : "left";
    context.textBaseline = y < cy ? "bottom" : "top";
    const at = x + (x < cx ? -8 : 8);
    context.lineWidth = 4;
    context.strokeStyle = token("surface");
    context.strokeText(corner.group, at, y);
    context.fillStyle = token("text");
    context.fillText(corner.group, at, y);
  });
}

function drawPoint(context: CanvasRenderingContext2D, point: AtlasPoint, place: Place, colour: string): void {
  const [x, y] = place(point);
  context.beginPath();
  context.arc(x, y, radius(point), 0, 2 * Math.PI);
  if (point.significant) {
    context.fillStyle = colour;
    context.globalAlpha = 0.85;
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 1;
    context.strokeStyle = token("surface");
  } else {
    context.lineWidth = 1.5;
    context.strokeStyle = colour;
  }
  context.stroke();
}

function drawRing(context: CanvasRenderingContext2D, point: AtlasPoint, place: Place, strong: boolean): void {
  const [x, y] = place(point);
  context.beginPath();
  context.arc(x, y, radius(point) + 4, 0, 2 * Math.PI);
  context.lineWidth = strong ? 2.5 : 1.5;
  context.strokeStyle = token(strong ? "accent" : "text");
  context.stroke();
}
