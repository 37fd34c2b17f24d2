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
  const values = (layer: number) =>
    tokens.flatMap((token) =>
      Array.from({ length: EXPERTS }, (_, expert) => token + 1000 * layer + expert / 4),
    );
  return [
    column("rows.sample", "I32", new Int32Array(rows).fill(sample)),
    column("rows.position", "I32", Int32Array.from(positions)),
    column("rows.token_id", "I32", Int32Array.from(tokens)),
    column("rows.phase", "U8", new Uint8Array(rows)),
    ...LAYERS.map((layer) => ({
      name: `router_logits.${layer}`,
      dtype: "F32" as const,
      shape: [rows, EXPERTS],
      data: Float32Array.from(values(layer)),
    })),
  ];
}

export const METADATA = { format: "moescope.rows/2" };

export const rowsBytes = (
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = METADATA,
): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.concat([...safetensorsBytes(tensors, metadata)]));
