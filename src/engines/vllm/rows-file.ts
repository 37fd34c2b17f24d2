import { rm } from "node:fs/promises";
import { EngineError } from "../../core/errors.ts";
import type { Plan } from "../../core/plan.ts";
import type { RowBatch, RowLabels } from "../../core/rows.ts";
import { type StreamName, streamSpec } from "../../core/streams.ts";
import type { TensorDataTypes, TensorType } from "../../core/tensor.ts";
import { fromBfloat16, fromFloat16 } from "../../formats/float-formats.ts";
import { readOwnFileUpTo } from "../../formats/regular-file.ts";
import { layerTensor, ROW_COLUMNS } from "../../formats/row-tensors.ts";
import { DTYPES, type Dtype, type DtypeArray, parseSafetensors } from "../../formats/safetensors.ts";

const FORMAT = "moescope.rows/2";

/**
 * Read the rows that vLLM has handed over in a file, and delete it: that tells the plugin that they have arrived.
 * A file that holds no rows stays: whoever named it may have been wrong, or lying.
 *
 * @throws EngineError `ENGINE_FAILED` for a file that is not what the protocol says.
 */
export async function takeRows(path: string, plan: Plan): Promise<RowBatch> {
  const bytes = await readOwnFileUpTo(path, MAX_FILE_LENGTH).catch((cause) => {
    const message = `rows from vLLM (${path}) cannot be read: ${cause.message}`;
    throw new EngineError("ENGINE_FAILED", message, { cause });
  });
  const batch = parseRows(bytes, path, plan);
  await rm(path, { force: true });
  return batch;
}

/** The largest file that is read: one step of a large model with all its layers is less. */
const MAX_FILE_LENGTH = 2 ** 32;

/** The rows in the bytes of such a file. Values are float32 whatever the model computes in. */
export function parseRows(bytes: Uint8Array<ArrayBuffer>, from: string, plan: Plan): RowBatch {
  const wrong = (what: string, cause?: unknown) =>
    new EngineError("ENGINE_FAILED", `rows from vLLM (${from}) ${what}`, { cause });
  const { tensors, metadata } = attempt(() => parseSafetensors(bytes, from), "are damaged");
  if (metadata.format !== FORMAT) throw wrong(`are in the format "${metadata.format}", not "${FORMAT}"`);
  const rows = tensors.get(ROW_COLUMNS.sample.name)?.shape[0] ?? 0;
  const label = <L extends keyof RowLabels>(of: L) => {
    const { name, dtype } = ROW_COLUMNS[of];
    const entry = tensors.get(name);
    if (entry?.dtype !== dtype || entry.shape.length !== 1 || entry.shape[0] !== rows)
      throw wrong(`have no labels "${name}"`);
    return view(bytes, entry) as RowLabels[L];
  };
  const streams = new Map<StreamName, Map<number, TensorDataTypes[TensorType]>>();
  for (const { name, layers } of plan.streams) {
    const values = layers.map((layer) => {
      const entry = tensors.get(layerTensor(name, layer));
      if (entry?.shape.length !== 2 || entry.shape[0] !== rows)
        throw wrong(`lack "${name}" of layer ${layer}`);
      return [layer, asStream(name, entry.dtype, view(bytes, entry))] as const;
    });
    streams.set(name, new Map(values));
  }
  return {
    rows,
    sample: label("sample"),
    position: label("position"),
    tokenId: label("tokenId"),
    phase: label("phase"),
    streams,
  };

  function attempt<T>(work: () => T, what: string): T {
    try {
      return work();
    } catch (cause) {
      throw wrong(`${what}: ${(cause as Error).message}`, cause);
    }
  }

  function asStream(name: StreamName, dtype: Dtype, data: DtypeArray): TensorDataTypes[TensorType] {
    if (streamSpec(name).type === "float32") {
      if (dtype === "F32") return data as Float32Array;
      if (dtype === "BF16") return fromBfloat16(data as Uint16Array);
      if (dtype === "F16") return fromFloat16(data as Uint16Array);
    } else if (dtype === "U16") return data as Uint16Array;
    throw wrong(`have "${name}" as ${dtype}`);
  }
}

/** A tensor of the file, without a copy where its alignment allows it. */
function view(
  bytes: Uint8Array<ArrayBuffer>,
  { dtype, shape, offset }: { dtype: keyof typeof DTYPES; shape: readonly number[]; offset: number },
): DtypeArray {
  const Data = DTYPES[dtype];
  const length = shape.reduce((product, n) => product * n, 1);
  const start = bytes.byteOffset + offset;
  if (start % Data.BYTES_PER_ELEMENT === 0) return new Data(bytes.buffer, start, length);
  // Not bytes.slice(): a Buffer's does not copy.
  return new Data(new Uint8Array(bytes.subarray(offset, offset + length * Data.BYTES_PER_ELEMENT)).buffer);
}
