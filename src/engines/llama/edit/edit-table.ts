import type { TokenRows } from "../graph/rows.ts";
import type { StepRows } from "../tap/row-order.ts";
import { EDIT_OPS, type EditOp, NEUTRAL } from "./edit-layout.ts";
import type { RowEdit } from "./row-edits.ts";

/** The operand of an operation of ours: a row for each row of the step, which says what is done to it. */
export class EditTable {
  readonly #layer: number;
  readonly #op: EditOp;
  readonly #rowsAre: TokenRows["of"];
  readonly #width: number;
  readonly #values: Float32Array;
  readonly #neutral: number;
  /** What the rows hold at present. */
  readonly #held: (RowEdit | null | undefined)[];

  /** @param values `[rows, width]`. */
  constructor(layer: number, op: EditOp, rowsAre: TokenRows["of"], width: number, values: Float32Array) {
    this.#layer = layer;
    this.#op = op;
    this.#rowsAre = rowsAre;
    this.#width = width;
    this.#values = values;
    this.#neutral = NEUTRAL[EDIT_OPS[op].op];
    this.#held = new Array(values.length / width).fill(undefined);
  }

  /** Rows that hold what they are to hold are left as they are: most steps draw a token of the samples before. */
  fill({ tokens, outputs, outputIndex, edits }: StepRows): void {
    const ofOutputs = this.#rowsAre === "outputs";
    if (this.#held.length !== (ofOutputs ? outputs : tokens)) return;
    for (let token = 0; token < tokens; token++) {
      const row = ofOutputs ? outputIndex[token]! : token;
      const edit = edits?.[token] ?? null;
      if (row < 0 || this.#held[row] === edit) continue;
      this.#held[row] = edit;
      const from = row * this.#width;
      const values = edit?.row(this.#layer, this.#op, this.#width) ?? null;
      if (values) this.#values.set(values, from);
      else this.#values.fill(this.#neutral, from, from + this.#width);
    }
  }
}
