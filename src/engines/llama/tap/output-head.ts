import type { TensorPointer } from "../native/pointers.ts";
import type { TensorReader } from "../native/tensor-reader.ts";

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

  /** The product of a new graph, or of one that is met again with the no-op made of it. */
  found(product: TensorPointer): void {
    this.#product = product;
    this.#apply();
  }

  #apply(): void {
    if (this.#product !== null)
      this.#tensors.setOp(this.#product, this.#needed ? this.#ops.MUL_MAT : this.#ops.NONE);
  }
}
