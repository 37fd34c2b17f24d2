import type { OutputStream } from "../views/terminal/terminal.ts";

export interface WritableOutput extends OutputStream {
  write(text: string): unknown;
}
