import type { Plan } from "../../src/core/plan.ts";
import { type DtypeArray, safetensorsBytes, type TensorData } from "../../src/formats/safetensors.ts";

export const LAYERS = [0, 2];
export const EXPERTS = 4;

/** A plan for router logits of both layers. */
export const plan: Plan = {
  streams: [{ name: "router_logits", layers: LAYERS }],
  topKeys: null,
  select: { phase: null, positions: null, last: null },
};

/** The prompt rows of one sample, as the plugin writes them: a logit is token + 1000 · layer + expert / 4. */
export function labelled(
  sample: number,
  tokens: readonly number[],
  positions: readonly number[] = tokens.map((_, i) => i),
): TensorData[] {
  const rows = tokens.length;
  const column = (name: string, dtype: "I32" | "U8", data: DtypeArray) => ({
    name,
    dtype,
    shape: [rows],
    data,
  });
  const values = LAYERS.flatMap((layer) =>
    tokens.flatMap((token) =>
      Array.from({ length: EXPERTS }, (_, expert) => token + 1000 * layer + expert / 4),
    ),
  );
  return [
    column("sample", "I32", new Int32Array(rows).fill(sample)),
    column("position", "I32", Int32Array.from(positions)),
    column("token_id", "I32", Int32Array.from(tokens)),
    column("phase", "U8", new Uint8Array(rows)),
    {
      name: "router_logits",
      dtype: "F32",
      shape: [LAYERS.length, rows, EXPERTS],
      data: Float32Array.from(values),
    },
  ];
}

export const METADATA = {
  format: "moescope.rows/1",
  layers: JSON.stringify({ router_logits: LAYERS }),
};

export const rowsBytes = (
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = METADATA,
): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.concat([...safetensorsBytes(tensors, metadata)]));
