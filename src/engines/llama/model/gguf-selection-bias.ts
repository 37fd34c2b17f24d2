import { endianness } from "node:os";
import { ModelError } from "../../../core/errors.ts";
import { openFile } from "../../../formats/regular-file.ts";
import { readHeader } from "./gguf.ts";
import { SELECTION_BIAS } from "./gguf-moe.ts";

/**
 * The selection biases of a model, by layer: one number per expert.
 *
 * @throws ModelError as `readHeader`, and `MODEL_INVALID` when one cannot be read to its end.
 */
export async function readSelectionBias(path: string): Promise<Map<number, Float32Array>> {
  const { parts, files } = await readHeader(path);
  const biases: [number, Float32Array][] = [];
  for (const [i, { tensors, dataOffset }] of parts.entries())
    for (const { name, shape, offset } of tensors) {
      const layer = SELECTION_BIAS.exec(name)?.[1];
      // The header check lets only F32 pass as a bias.
      if (layer !== undefined)
        biases.push([Number(layer), await readFloats(files[i]!, dataOffset + offset, Number(shape[0]))]);
    }
  return new Map(biases.sort(([a], [b]) => a - b));
}

async function readFloats(file: string, offset: bigint, length: number): Promise<Float32Array> {
  const bytes = Buffer.alloc(4 * length);
  const handle = await openFile(file);
  try {
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, Number(offset));
    if (bytesRead < bytes.length)
      throw new ModelError("MODEL_INVALID", `${file} ends within a selection bias: it is cut off`);
  } finally {
    await handle.close();
  }
  // GGUF is little-endian.
  if (endianness() === "BE") bytes.swap32();
  return new Float32Array(bytes.buffer, bytes.byteOffset, length);
}
