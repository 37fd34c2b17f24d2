import type { TensorPointer } from "./bindings.ts";
import type { TensorReader } from "./tensor-reader.ts";

/** Name of the tensor with the model's output, the logits over the vocabulary. */
export const OUTPUT = "result_output";
/** Scalings and caps that may lie between the output and its matrix product. */
const MAX_DEPTH = 4;

/**
 * Leaves out the product with the output matrix in steps that draw no token.
 *
 * In its last layer llama.cpp computes only rows that are marked as outputs, so rows to capture there are marked, and
 * it would compute the logits of each: for a small model with a large vocabulary that is as much work as all layers.
 * The product becomes a no-op in the graph and is put back when a step needs it.
 */
export class OutputHead {
  readonly #tensors: TensorReader;
  readonly #ops: { readonly NONE: number; readonly MUL_MAT: number };
  /** The product in the present graph. */
  #product: TensorPointer | null = null;
  #needed = true;

  constructor(tensors: TensorReader, ops: { readonly NONE: number; readonly MUL_MAT: number }) {
    this.#tensors = tensors;
    this.#ops = ops;
  }

  /** The graph is gone, or will be. */
  forget(): void {
    this.#product = null;
  }

  /** @returns the product, if this changed it in a graph that has been computed before; else `null`. */
  need(needed: boolean): TensorPointer | null {
    const changed = needed !== this.#needed;
    this.#needed = needed;
    this.#apply();
    return changed ? this.#product : null;
  }

  /** The output of a new graph was met. */
  found(output: TensorPointer): void {
    let t = output;
    for (let depth = 0; depth < MAX_DEPTH && t !== 0; depth++, t = this.#tensors.source(t))
      if (this.#isProduct(t)) {
        this.#product = t;
        this.#apply();
        return;
      }
  }

  /** A graph that is met again may hold the no-op made of it; a weight, the other tensor without an operation, has no operands. */
  #isProduct(t: TensorPointer): boolean {
    const op = this.#tensors.op(t);
    return op === this.#ops.MUL_MAT || (op === this.#ops.NONE && this.#tensors.source(t) !== 0);
  }

  #apply(): void {
    if (this.#product !== null)
      this.#tensors.setOp(this.#product, this.#needed ? this.#ops.MUL_MAT : this.#ops.NONE);
  }
}
