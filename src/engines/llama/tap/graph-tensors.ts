import type { GraphTensor } from "../../../core/engine.ts";
import { EngineError } from "../../../core/errors.ts";
import { activationStream, isStreamName } from "../../../core/streams.ts";
import type { Graph } from "../graph/graph.ts";
import { NativeTokens } from "../run/native-tokens.ts";
import { SAMPLE } from "../run/probe-sample.ts";
import type { SteppingSession } from "./look-at-step.ts";

/** Tokens of the second step that is looked at; any number that is not 1 would do. */
const TOKENS = 5;
/** llama.cpp sizes what depends on the cache by the cells in use, in multiples of this. */
const CELLS = 256;

const CAPTURED_TYPES = ["f32", "i32"];

/** A tensor of the graph in one layer, with the axis that counts tokens. */
interface Found {
  readonly type: string;
  /** As ggml has it: fastest axis first, four of them. */
  readonly shape: readonly (number | "tokens" | "varies")[];
}

/** The named tensors of a model's graph, and on which of their axes the tokens are. */
export interface GraphTensors {
  readonly list: readonly GraphTensor[];
  /** ggml's number of the axis that counts tokens, by name and layer as in the graph; of what can be captured. */
  readonly rowAxes: ReadonlyMap<string, number>;
}

/**
 * List the tensors of the graph that llama.cpp builds. Nothing is computed: two steps are built and their operations
 * left out, one with a token on an empty cache, one with several on a cache that is fuller. An axis that was 1 and is
 * then the number of tokens counts tokens; one that is the same is fixed. Tensors that are not in both are left out.
 */
export function graphTensors(session: SteppingSession, layers: number, batchSize: number): GraphTensors {
  const [one, several] = lookTwice(session, batchSize);
  const byName = new Map<string, Map<number, Found>>();
  for (const [key, { name, layer, node: before }] of one.nodes) {
    const after = several.nodes.get(key)?.node;
    if (!after || before.type !== after.type || layer >= layers) continue;
    if (!isStreamName(activationStream(name))) continue;
    const shape = before.shape.map((size, axis) => {
      const next = after.shape[axis]!;
      if (size === one.tokens && next === several.tokens) return "tokens";
      return size === next ? size : "varies";
    });
    const of = byName.get(name) ?? new Map<number, Found>();
    byName.set(name, of.set(layer, { type: before.type, shape }));
  }
  const entries = [...byName].flatMap(([name, of]) => grouped(name, of));
  return {
    list: entries.map(({ entry }) => entry),
    rowAxes: new Map(
      entries
        .filter(({ entry }) => entry.capturable)
        .flatMap(({ entry, rowAxis }) =>
          entry.layers.map((layer) => [`${entry.name}-${layer}`, rowAxis] as const),
        ),
    ),
  };
}

/** One entry for all layers that have the tensor in the same shape. */
function grouped(name: string, of: ReadonlyMap<number, Found>): { entry: GraphTensor; rowAxis: number }[] {
  const groups = new Map<string, { entry: GraphTensor & { layers: number[] }; rowAxis: number }>();
  for (const [layer, { type, shape }] of [...of].sort(([a], [b]) => a - b)) {
    const key = `${type} ${shape}`;
    const group = groups.get(key);
    if (group) group.entry.layers.push(layer);
    else {
      const rowAxis = shape.indexOf("tokens");
      const capturable =
        CAPTURED_TYPES.includes(type) &&
        rowAxis >= 0 &&
        rowAxis === shape.lastIndexOf("tokens") &&
        !shape.includes("varies");
      // ggml counts four axes; those that say nothing are not shown.
      const rank = shape.reduce<number>((last, size, axis) => (size === 1 ? last : axis + 1), 1);
      const slowestFirst = shape.slice(0, rank).reverse();
      groups.set(key, { entry: { name, layers: [layer], type, shape: slowestFirst, capturable }, rowAxis });
    }
  }
  return [...groups.values()];
}

interface Named {
  /** As a user says it: with a number where the layer has several tensors of the name. */
  readonly name: string;
  readonly layer: number;
  readonly node: { readonly type: string; readonly shape: readonly number[] };
}

interface Look {
  readonly tokens: number;
  /** By name and layer. */
  readonly nodes: ReadonlyMap<string, Named>;
}

/** llama.cpp's names of the tensors of layers. */
const LAYER_TENSOR = /^(.+)-(\d+)$/;

function namedNodes(graph: Graph, typeName: (type: number) => string): ReadonlyMap<string, Named> {
  const byKey = new Map<string, Named[]>();
  for (let i = 0; i < graph.nodeCount; i++) {
    const { name: key, type, shape } = graph.at(i);
    const [, name, layer] = LAYER_TENSOR.exec(key) ?? [];
    if (name === undefined) continue;
    const of = byKey.get(key) ?? [];
    byKey.set(key, of);
    of.push({ name, layer: Number(layer), node: { type: typeName(type), shape } });
  }
  return new Map(
    [...byKey].flatMap(([key, of]) =>
      of.length === 1
        ? [[key, of[0]!] as const]
        : of.map((named, i) => {
            const name = `${named.name}.${i + 1}`;
            // Told apart from a layer that has fewer.
            return [`${name} of ${of.length}-${named.layer}`, { ...named, name }] as const;
          }),
    ),
  );
}

function lookTwice(session: SteppingSession, batchSize: number): [Look, Look] {
  const count = Math.min(TOKENS, batchSize);
  const total = Math.min(CELLS + count, session.contextSize);
  const tokens = new NativeTokens(batchSize, session.parallel);
  const running = { ...SAMPLE, tokens: new Int32Array(total), length: total };
  const look = (from: number, count: number): Look => {
    const chunk = { running, from, count };
    // Every token is an output: the last layer then has all rows.
    tokens.fill(
      [chunk],
      Array.from({ length: count }, (_, i) => i),
    );
    let nodes: ReadonlyMap<string, Named> = new Map();
    session.tap.look({
      built: ({ taps }) => {
        nodes = namedNodes(taps.graph, session.llama.typeName);
      },
    });
    session.invalidateGraph();
    const code = session.compute(tokens.batch);
    session.tap.settle(session.context);
    if (code !== 0)
      throw new EngineError("ENGINE_FAILED", `llama_decode failed with ${code} on an empty cache`);
    return { tokens: count, nodes };
  };
  try {
    const one = look(0, 1);
    // Fill the cache up to its next size, as far as it goes.
    for (let from = 1; from < total - count; )
      from += look(from, Math.min(batchSize, total - count - from)).tokens;
    return [one, look(total - count, count)];
  } finally {
    session.llama.clearMemory(session.memory, false);
  }
}
