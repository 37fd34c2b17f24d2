import { WriteStream } from "node:tty";

/** How many colours an output shows. Terminals with 16 get none: a map of amounts needs a smooth ramp. */
export type ColourDepth = "none" | "256" | "truecolor";

/** What a view has to know of where it is shown. */
export interface Terminal {
  /** Columns a line may take. */
  readonly width: number;
  readonly depth: ColourDepth;
}

/** Columns when nothing says otherwise (a file, a pipe): what every terminal has. */
const MIN_WIDTH = 80;
/** Lines beyond this are hard to read across, and a map gains nothing. */
const MAX_WIDTH = 100;

export interface OutputStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/**
 * What a stream can show. Node knows the terminals (`COLORTERM`, `TERM`, tmux, Windows) and honours `NO_COLOR` and
 * `FORCE_COLOR`; this adds that a stream that is no terminal gets no colours unless forced.
 */
export function terminalOf(stream: OutputStream, env: NodeJS.ProcessEnv): Terminal {
  return { width: widthOf(stream), depth: depthOf(stream, env) };
}

function widthOf({ isTTY, columns }: OutputStream): number {
  // Narrower than 80 columns the lines wrap; tables are not squeezed any further.
  return isTTY && columns ? Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, columns)) : MIN_WIDTH;
}

function depthOf({ isTTY }: OutputStream, env: NodeJS.ProcessEnv): ColourDepth {
  const forced = env.FORCE_COLOR !== undefined;
  if (!forced && (!isTTY || env.NO_COLOR)) return "none";
  // Node warns when both are set; which one wins is settled above.
  const { NO_COLOR: _, NODE_DISABLE_COLORS: __, ...rest } = env;
  const bits = WriteStream.prototype.getColorDepth(rest);
  return bits >= 24 ? "truecolor" : bits >= 8 ? "256" : "none";
}
