import type { SelectedRow } from "./selection.ts";
import type { Slot } from "./slot.ts";

/** A step as the packer of rows sees it. */
export interface CollectedStep {
  readonly selected: readonly SelectedRow[];
  readonly slots: readonly Slot[];
  readonly tokens: number;
  /** Whether a row sees only the rows of its sample before it; else all of them, and they are all in the step. */
  readonly causal: boolean;
  /** Per token of the step its index among the outputs, or -1. */
  readonly outputIndex: Int32Array;
  readonly outputs: number;
}
