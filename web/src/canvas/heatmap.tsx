import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { useKeys } from "../keys.ts";
import { announce } from "../parts/announce.tsx";
import { hideTooltip, showTooltip } from "../parts/tooltip.tsx";
import { themeVersion } from "../theme.ts";
import { type Cell, HeatmapView, type Marks, type Picture } from "./heatmap-view.ts";
import type { Span } from "./viewport.ts";

export interface HeatmapProps extends Picture, Partial<Marks> {
  /** What the map shows, for those who cannot see it. */
  readonly label: string;
  /** In pixels; the width is that of the page. */
  readonly height: number;
  readonly describe: (cell: Cell) => ComponentChildren;
  /** A cell in words, when the keyboard reaches it. */
  readonly sayCell: (cell: Cell) => string;
  readonly onHover?: (cell: Cell | null) => void;
  readonly onPick: (cell: Cell) => void;
  /** Where the cursor stands for the arrow keys; the first cell when nothing was chosen. */
  readonly cursor: Cell | null;
  /** The visible columns, when they change by the user's hand. */
  readonly onSpan?: (across: Span, whole: boolean) => void;
  /** The visible columns, when they are given from outside. */
  readonly span?: Span | null;
  /** Hands out the canvas, for pictures. */
  readonly onView?: (view: HeatmapView) => void;
  readonly busy?: boolean;
  /** Whether the page's keys work this map; default: they do. One map of a page has them. */
  readonly keyboard?: boolean;
}

/** A wheel notch is about 100; this makes one notch a factor of 1.2. */
const WHEEL = 0.0018;
const KEY_ZOOM = 1.4;
const KEY_PAN = 0.15;
/** A pointer that moved less was a click. */
const CLICK = 4;

/** A map on a canvas: pan, zoom, hover, keyboard. One DOM node, however many cells. */
export function Heatmap(props: HeatmapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const view = useRef<HeatmapView | null>(null);
  // Handlers are bound once and read what is current.
  const now = useRef(props);
  now.current = props;
  const version = themeVersion.value;

  useLayoutEffect(() => {
    const made = new HeatmapView(canvas.current!, picture(now.current), () => {
      hideTooltip();
      now.current.onSpan?.(made.across, !made.zoomed);
    });
    view.current = made;
    const { span } = now.current;
    if (span) made.across = span;
    const observer = new ResizeObserver(() => {
      const { clientWidth, clientHeight } = frame.current!;
      made.resize(clientWidth, clientHeight);
    });
    observer.observe(frame.current!);
    made.resize(frame.current!.clientWidth, frame.current!.clientHeight);
    now.current.onView?.(made);
    const unbind = bindPointer(frame.current!, made, now);
    return () => {
      observer.disconnect();
      unbind();
      made.close();
      hideTooltip();
    };
  }, []);

  useEffect(() => {
    view.current?.setPicture(picture(props));
    return props.cells.onChange(() => view.current?.redraw());
  }, [props.cells, props.groups, props.cellText, props.rows, props.columns, version]);

  useEffect(() => {
    if (!view.current) return;
    view.current.marks = { hovered: props.hovered ?? null, chosen: props.chosen ?? null };
    view.current.redraw();
  });

  // Before the next event: a span that this map itself told a drawing ago would take back what a key did since.
  const { span } = props;
  useLayoutEffect(() => {
    const current = view.current;
    if (!current || !span) return;
    if (span.start !== current.across.start || span.length !== current.across.length) current.follow(span);
  }, [span]);

  const { keyboard = true } = props;
  useKeys(keyboard && props.zoom !== "none" ? zoomKeys(view) : []);

  // Keys can come faster than drawings: each goes on from where the last one went.
  const at = useRef(props.cursor);
  at.current = props.cursor;
  const move = (rowBy: number, columnBy: number) => {
    const { cells } = props;
    const cursor = at.current;
    const next = cursor
      ? {
          row: Math.min(cells.rows - 1, Math.max(0, cursor.row + rowBy)),
          column: Math.min(cells.columns - 1, Math.max(0, cursor.column + columnBy)),
        }
      : { row: 0, column: 0 };
    at.current = next;
    view.current?.reveal(next);
    props.onPick(next);
    announce(props.sayCell(next));
  };
  const arrows = [
    { keys: ["ArrowUp"], does: `previous ${props.rows.name}`, run: () => move(-1, 0) },
    { keys: ["ArrowDown"], does: `next ${props.rows.name}`, run: () => move(1, 0) },
    { keys: ["ArrowLeft"], does: `previous ${props.columns.name}`, run: () => move(0, -1) },
    { keys: ["ArrowRight"], does: `next ${props.columns.name}`, run: () => move(0, 1) },
  ];
  useKeys(keyboard ? arrows : []);

  return (
    <div
      ref={frame}
      class="heatmap"
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the map is worked with the keyboard
      tabIndex={0}
      aria-label={`${props.label}. Arrow keys move from cell to cell.`}
      aria-busy={props.busy ?? false}
      style={{ height: `${props.height}px` }}
    >
      <canvas ref={canvas} aria-hidden="true" />
    </div>
  );
}

const picture = ({ cells, rows, columns, zoom, groups, cellText }: HeatmapProps): Picture => ({
  cells,
  rows,
  columns,
  zoom,
  cellText,
  ...(groups && { groups }),
});

function zoomKeys(view: { readonly current: HeatmapView | null }) {
  return [
    { keys: ["w", "W"], does: "zoom in", run: () => view.current?.zoom(KEY_ZOOM) },
    { keys: ["s", "S"], does: "zoom out", run: () => view.current?.zoom(1 / KEY_ZOOM) },
    { keys: ["a", "A"], does: "pan left", run: () => view.current?.pan(-KEY_PAN) },
    { keys: ["d", "D"], does: "pan right", run: () => view.current?.pan(KEY_PAN) },
    { keys: ["0"], does: "show all", run: () => view.current?.reset() },
  ];
}

/** Drag pans, wheel and two fingers zoom, a click picks. Returns what unbinds it all. */
function bindPointer(
  frame: HTMLElement,
  view: HeatmapView,
  now: { readonly current: HeatmapProps },
): () => void {
  const pointers = new Map<number, { x: number; y: number }>();
  let moved = 0;
  let touchDistance = 0;
  const at = (event: PointerEvent | WheelEvent) => {
    const box = frame.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const parts = ({ x, y }: { x: number; y: number }) => {
    const { left, top, width, height } = view.plot;
    return [(x - left) / width, (y - top) / height] as const;
  };
  const hover = (event: PointerEvent) => {
    const cell = view.cellAt(at(event).x, at(event).y);
    now.current.onHover?.(cell);
    if (cell) showTooltip(event.clientX, event.clientY, now.current.describe(cell));
    else hideTooltip();
  };
  const down = (event: PointerEvent) => {
    pointers.set(event.pointerId, at(event));
    moved = 0;
    touchDistance = distance([...pointers.values()]);
    if (view.zoomed) frame.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent) => {
    const before = pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") hover(event);
      return;
    }
    const next = at(event);
    pointers.set(event.pointerId, next);
    moved += Math.abs(next.x - before.x) + Math.abs(next.y - before.y);
    const all = [...pointers.values()];
    if (all.length === 2) {
      const apart = distance(all);
      const [x, y] = parts({ x: (all[0]!.x + all[1]!.x) / 2, y: (all[0]!.y + all[1]!.y) / 2 });
      if (touchDistance > 0) view.zoom(apart / touchDistance, x, y);
      touchDistance = apart;
    } else if (moved > CLICK && view.zoomed) {
      hideTooltip();
      const { width, height } = view.plot;
      view.pan((before.x - next.x) / width, (before.y - next.y) / height);
    }
  };
  const up = (event: PointerEvent) => {
    if (!pointers.delete(event.pointerId) || pointers.size > 0) return;
    if (moved > CLICK) return;
    const cell = view.cellAt(at(event).x, at(event).y);
    if (!cell) return;
    if (event.pointerType !== "mouse") hover(event);
    now.current.onPick(cell);
  };
  const leave = () => {
    now.current.onHover?.(null);
    hideTooltip();
  };
  const cancel = (event: PointerEvent) => {
    pointers.delete(event.pointerId);
  };
  const wheel = (event: WheelEvent) => {
    const { zoom } = view.picture;
    // A map that is seen whole leaves the wheel to the page; ctrl (or a pinch) always zooms.
    if (zoom === "none" || (zoom === "both" && !event.ctrlKey && !event.metaKey)) return;
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      view.pan(event.deltaX / view.plot.width);
      return;
    }
    const [x, y] = parts(at(event));
    view.zoom(Math.exp(-event.deltaY * WHEEL), x, y);
  };
  frame.addEventListener("pointerdown", down);
  frame.addEventListener("pointermove", move);
  frame.addEventListener("pointerup", up);
  frame.addEventListener("pointercancel", cancel);
  frame.addEventListener("pointerleave", leave);
  frame.addEventListener("wheel", wheel, { passive: false });
  const reset = () => view.reset();
  frame.addEventListener("dblclick", reset);
  return () => {
    frame.removeEventListener("pointerdown", down);
    frame.removeEventListener("pointermove", move);
    frame.removeEventListener("pointerup", up);
    frame.removeEventListener("pointercancel", cancel);
    frame.removeEventListener("pointerleave", leave);
    frame.removeEventListener("wheel", wheel);
    frame.removeEventListener("dblclick", reset);
  };
}

const distance = ([a, b]: { x: number; y: number }[]) => (a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0);
