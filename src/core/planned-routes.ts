import type { RecordedRoutes, ReplayEdit } from "./edits.ts";
import { RequestError } from "./errors.ts";
import type { MoeInfo } from "./model-info.ts";
import { moeLayer } from "./moe-layer.ts";
import type { PlannedRoutes } from "./planned-edit.ts";

/** What was read of a capture: where the rows of each sample are, and its layers, which may come from files. */
interface Read {
  /** In the order of their positions. */
  readonly rows: ReadonlyMap<number, Int32Array>;
  readonly layers: Map<string, ArrayLike<number>>;
}

const reads = new WeakMap<RecordedRoutes, Read>();

/**
 * The routes of one sample of a capture, for a sample with the same prompt.
 *
 * @throws RequestError `INVALID_ARGUMENT` where the capture does not fit: another model, other tokens, no experts.
 */
export function plannedRoutes(
  recorded: RecordedRoutes,
  { weights, sample: from }: Pick<ReplayEdit, "weights" | "sample">,
  moe: MoeInfo,
  layers: readonly number[],
  { sample, tokens }: { readonly sample: number; readonly tokens: Int32Array },
  where: string,
): PlannedRoutes {
  const refuse = (what: string): never => {
    throw new RequestError("INVALID_ARGUMENT", `${where}: ${what}`);
  };
  if (!recorded.streams.includes("expert_ids"))
    refuse("the capture to replay has no expert_ids; capture them, they are there by default");
  const hasWeights = recorded.streams.includes("expert_weights");
  if (weights === "recorded" && !hasWeights)
    refuse('the capture to replay has no expert_weights; say weights: "own", or capture them too');
  const of = from ?? sample;
  const read = readOf(recorded);
  const rows = read.rows.get(of);
  if (!rows) return refuse(`the capture to replay has no rows of sample ${of}`);
  const positions = rows.map((row) => recorded.rows.position[row]!);
  const tokenIds = rows.map((row) => recorded.rows.tokenId[row]!);
  const other = positions.findIndex(
    (position, i) => position < tokens.length && tokens[position] !== tokenIds[i],
  );
  if (other >= 0)
    refuse(
      `sample ${of} of the capture to replay has token ${tokenIds[other]} at position ${positions[other]}, ` +
        `and the prompt has ${tokens[positions[other]!]} there: it was another prompt`,
    );
  const own = new Set(recorded.expertIds.keys());
  const chosen = layers.filter((layer) => own.has(layer));
  if (chosen.length === 0) refuse("the capture to replay has none of the layers");
  const take = <A extends Uint16Array | Float32Array>(
    stream: "expertIds" | "expertWeights",
    layer: number,
    make: (length: number) => A,
  ): A => {
    const { topK } = moeLayer(moe, layer);
    const key = `${stream} ${layer}`;
    const values = read.layers.get(key) ?? recorded[stream].get(layer)!.data;
    read.layers.set(key, values);
    if (values.length !== topK * recorded.rows.sample.length)
      refuse(
        `the capture to replay has ${values.length / recorded.rows.sample.length} experts a token in layer ${layer}, ` +
          `and the model uses ${topK}`,
      );
    const taken = make(topK * rows.length);
    rows.forEach((row, i) => {
      for (let k = 0; k < topK; k++) taken[i * topK + k] = values[row * topK + k]!;
    });
    return taken;
  };
  const ids = new Map(
    chosen.map((layer) => {
      const taken = take("expertIds", layer, (n) => new Uint16Array(n));
      const { experts, topK } = moeLayer(moe, layer);
      for (let row = 0; row < rows.length; row++) {
        const each = new Set(taken.subarray(row * topK, (row + 1) * topK));
        if (each.size < topK || [...each].some((expert) => expert >= experts))
          refuse(
            `the capture to replay names experts in layer ${layer} that the model cannot use together ` +
              `(${[...taken.subarray(row * topK, (row + 1) * topK)].join(", ")}): it is of another model`,
          );
      }
      return [layer, taken] as const;
    }),
  );
  if (weights === "own" || !hasWeights) return { positions, tokenIds, ids, weights: null };
  const kept = chosen.map((layer) => {
    const values = take("expertWeights", layer, (n) => new Float32Array(n));
    if (!values.every(Number.isFinite))
      refuse(`the capture to replay has weights in layer ${layer} that are not finite`);
    return [layer, values] as const;
  });
  return { positions, tokenIds, ids, weights: new Map(kept) };
}

function readOf(recorded: RecordedRoutes): Read {
  const known = reads.get(recorded);
  if (known) return known;
  const { sample, position } = recorded.rows;
  const lists = new Map<number, number[]>();
  sample.forEach((of, row) => {
    const list = lists.get(of);
    if (list) list.push(row);
    else lists.set(of, [row]);
  });
  const found = new Map(
    [...lists].map(
      ([of, rows]) => [of, Int32Array.from(rows.sort((a, b) => position[a]! - position[b]!))] as const,
    ),
  );
  const read = { rows: found, layers: new Map() };
  reads.set(recorded, read);
  return read;
}
