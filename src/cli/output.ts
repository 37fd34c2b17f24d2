import { type Terminal, terminalOf } from "../views/terminal/terminal.ts";
import { type ProgressLine, progressLine } from "./progress-line.ts";
import type { WritableOutput } from "./writable-output.ts";

/** Where a command writes: results to stdout, everything a person waits with to stderr. */
export interface Output {
  /** What stdout can show. */
  readonly terminal: Terminal;
  /** Lines of a result. */
  print(...lines: string[]): void;
  /** A remark that is no part of the result. */
  note(line: string): void;
  /** A line on stderr that tells how far long work is; nothing where stderr is no terminal. */
  progress(): ProgressLine;
}

export function outputTo(stdout: WritableOutput, stderr: WritableOutput, env: NodeJS.ProcessEnv): Output {
  return {
    terminal: terminalOf(stdout, env),
    print: (...lines) => void stdout.write(lines.map((line) => `${line}\n`).join("")),
    note: (line) => void stderr.write(`${line}\n`),
    progress: () => progressLine(stderr, terminalOf(stderr, env)),
  };
}
