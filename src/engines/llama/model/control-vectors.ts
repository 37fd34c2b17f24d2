import { GGMLQuantizationType } from "@huggingface/gguf";
import type { AddEdit } from "../../../core/edits.ts";
import { RequestError } from "../../../core/errors.ts";
import { readHeader, readInto, withFile } from "../../../formats/safetensors.ts";
import { readPart } from "./gguf.ts";

/** Llama.cpp's and repeng's name of a layer's vector. */
const DIRECTION = /^direction\.(\d+)$/;
/** In safetensors files any name that ends with the layer will do: `direction.5`, `vector.5`. */
const BY_LAYER = /(?:^|\.)(\d+)$/;

/**
 * The vectors of a file as edits, one a layer: llama.cpp's control vectors (GGUF: a tensor `direction.<layer>` of 32-bit
 * floats each, added after that layer), or a safetensors file with a vector of 32-bit floats for each layer.
 *
 * @throws RequestError `INVALID_ARGUMENT`, ModelError or CaptureError for a file that is none.
 */
export async function readControlVectors(path: string, scale: number): Promise<AddEdit[]> {
  const found = path.toLowerCase().endsWith(".safetensors") ? fromSafetensors(path) : await fromGguf(path);
  if (found.length === 0)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${path} has no vectors: a GGUF file has them as direction.<layer>, a safetensors file as <name>.<layer>`,
    );
  return found.map(({ layer, add }) => ({ add, scale, layers: [layer] }));
}

interface Vector {
  readonly layer: number;
  readonly add: Float32Array;
}

async function fromGguf(path: string): Promise<Vector[]> {
  const { tensors, dataOffset } = await readPart(path, 1);
  return withFile(path, (fd) =>
    tensors.flatMap(({ name, dtype, shape, offset }): Vector[] => {
      const [, layer] = DIRECTION.exec(name) ?? [];
      if (layer === undefined) return [];
      assertFloats(path, name, dtype === GGMLQuantizationType.F32, shape.map(Number));
      const at = Number(dataOffset + offset);
      return [
        { layer: Number(layer), add: readInto(fd, path, at, new Float32Array(length(shape.map(Number)))) },
      ];
    }),
  );
}

function fromSafetensors(path: string): Vector[] {
  return withFile(path, (fd) =>
    [...readHeader(fd, path).tensors].flatMap(([name, { dtype, shape, offset }]): Vector[] => {
      const [, layer] = BY_LAYER.exec(name) ?? [];
      if (layer === undefined) return [];
      assertFloats(path, name, dtype === "F32", shape);
      return [{ layer: Number(layer), add: readInto(fd, path, offset, new Float32Array(length(shape))) }];
    }),
  );
}

const length = (shape: readonly number[]) => shape.reduce((all, size) => all * size, 1);

function assertFloats(path: string, name: string, isFloat: boolean, shape: readonly number[]): void {
  if (!isFloat || shape.filter((size) => size !== 1).length > 1)
    throw new RequestError("INVALID_ARGUMENT", `${path}: ${name} is no vector of 32-bit floats`);
}
