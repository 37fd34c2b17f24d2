import { EngineError } from "../../../core/errors.ts";
import { activationOf } from "../../../core/streams.ts";
import { GGML_TYPE } from "../native/bindings.ts";
import type { TensorPointer } from "../native/pointers.ts";
import type { TensorReader } from "../native/tensor-reader.ts";
import type { Region } from "./arena.ts";
import type { Found } from "./find-targets.ts";

/** Where the values of one (stream, layer) are after a step. Offsets and strides count 4-byte elements. */
export interface Slot extends Found {
  readonly values: Float32Array | Int32Array;
  readonly start: number;
  readonly rows: number;
  readonly rowStride: number;
  /** The other axes, slowest first. */
  readonly axes: readonly { readonly size: number; readonly stride: number }[];
  /** Values of a row: the product of their sizes. */
  readonly width: number;
  /** Whether a row's values lie beside each other. */
  readonly dense: boolean;
}

/** @throws EngineError if a tensor that a user named has values of a type that cannot be taken. */
export function slotOf(
  tensors: TensorReader,
  t: TensorPointer,
  found: Found,
  region: Region,
  start: number,
): Slot {
  const { rowAxis, stream } = found;
  const type = tensors.type(t);
  const whole = type === GGML_TYPE.I32;
  const expected = activationOf(stream) !== null || whole === (stream === "expert_ids");
  if (!expected || (type !== GGML_TYPE.F32 && !whole))
    throw new EngineError(
      "ENGINE_FAILED",
      `${tensors.name(t)} has values of an unexpected type (${type}); moescope cannot capture ${stream} from this model`,
    );
  const axes = [3, 2, 1, 0]
    .filter((axis) => axis !== rowAxis)
    .map((axis) => ({ size: tensors.ne(t, axis), stride: tensors.nb(t, axis) >> 2 }));
  return {
    ...found,
    values: whole ? region.ints : region.floats,
    start,
    rows: tensors.ne(t, rowAxis),
    rowStride: tensors.nb(t, rowAxis) >> 2,
    axes,
    ...extentOf(axes),
  };
}

/** The same slot without the experts of a row that are not used: all but the first so many. */
export function firstChosen(slot: Slot, topK: number): Slot {
  // Of ids and weights the only axis that is not 1; of outputs the slower one.
  const chosen = slot.axes.findIndex(({ size }) => size !== 1);
  const axes = slot.axes.map((axis, i) =>
    i === chosen ? { ...axis, size: Math.min(axis.size, topK) } : axis,
  );
  return { ...slot, axes, ...extentOf(axes) };
}

function extentOf(axes: Slot["axes"]): Pick<Slot, "width" | "dense"> {
  return axes.reduceRight<Pick<Slot, "width" | "dense">>(
    ({ width, dense }, { size, stride }) => ({
      width: width * size,
      dense: dense && (size === 1 || stride === width),
    }),
    { width: 1, dense: true },
  );
}
