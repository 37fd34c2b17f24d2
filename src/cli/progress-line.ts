import { viridis } from "../views/colours.ts";
import { bytes, count, duration } from "../views/numbers.ts";
import { dim, foreground } from "../views/terminal/parts/paint.ts";
import { clip } from "../views/terminal/parts/text.ts";
import type { Terminal } from "../views/terminal/terminal.ts";
import type { WritableOutput } from "./writable-output.ts";

/** Work that ends sooner shows nothing: a bar that flashes by only disturbs. */
const DELAY_MS = 500;
/** Ten a second look smooth, and cost nothing beside the work. */
const INTERVAL_MS = 100;
const BAR = 16;

type ProgressUnit = "tokens" | "bytes" | "parts";

export interface ProgressLine {
  /** `total: null` while the end is not known. */
  update(what: string, done: number, total: number | null, unit?: ProgressUnit): void;
  /** Take the line away; what follows starts in an empty one. */
  done(): void;
}

/** A line that redraws itself in place. */
export function progressLine(
  stream: WritableOutput,
  terminal: Terminal,
  now: () => number = () => performance.now(),
): ProgressLine {
  if (!stream.isTTY) return { update() {}, done() {} };
  let started = now();
  let last = -Infinity;
  let drawn = false;
  let task = "";
  let timer: NodeJS.Timeout | null = null;
  return {
    update(what, done, total, unit = "tokens") {
      if (what !== task) started = now();
      task = what;
      if (timer) clearTimeout(timer);
      timer = null;
      const elapsed = now() - started;
      const draw = () => {
        last = now();
        drawn = true;
        const seconds = (last - started) / 1000;
        stream.write(`\r${progressText(what, done, total, seconds, terminal, unit)}\x1b[K`);
      };
      if ((drawn || elapsed >= DELAY_MS) && now() - last >= INTERVAL_MS) draw();
      // A step that takes long (reading a model) reports once: its line must still appear.
      else timer = setTimeout(draw, DELAY_MS).unref();
    },
    done() {
      if (timer) clearTimeout(timer);
      timer = null;
      if (drawn) stream.write("\r\x1b[K");
      drawn = false;
    },
  };
}

/** `Capturing ━━━━━━━─────────  42 %  1.2 k of 2.9 k tokens  300/s  6 s left`. */
export function progressText(
  what: string,
  done: number,
  total: number | null,
  seconds: number,
  { depth, width }: Terminal,
  unit: ProgressUnit = "tokens",
): string {
  if (total === null || total === 0) return `${what} …`;
  const part = Math.min(1, done / total);
  const full = Math.round(part * BAR);
  const bar =
    foreground(depth, viridis(0.7), "━".repeat(full)) +
    dim(depth, (depth === "none" ? "·" : "━").repeat(BAR - full));
  const amount = unit === "bytes" ? bytes : count;
  const rate = done / seconds;
  const pace =
    unit !== "parts" && rate > 0 && Number.isFinite(rate)
      ? `  ${amount(Math.round(rate))}/s  ${duration((total - done) / rate)} left`
      : "";
  const figures = `${`${Math.floor(part * 100)}`.padStart(4)} %  ${amount(done)} of ${amount(total)}${unit === "bytes" ? "" : ` ${unit}`}${pace}`;
  // A full line would make the cursor wrap, and the next redraw would start one line below.
  return `${what} ${bar}${clip(figures, width - what.length - BAR - 2)}`;
}
