import { type NamedStream, STREAM_NAMES, type StreamName } from "../../../core/streams.ts";
import { findAttention } from "./attention.ts";
import { type Graph, type GraphNode, NONE, TYPE, weightAt } from "./graph.ts";
import { findLayerOutputs } from "./layer-outputs.ts";
import { Levels } from "./levels.ts";
import type { ModelShape } from "./model-shape.ts";
import { findMoePasses, type MoePass, type MoePasses } from "./moe-pass.ts";
import { must, type Proof, prove, Unproven } from "./proof.ts";
import { RowAxes, type TokenRows } from "./rows.ts";
import { findSharedExperts } from "./shared-expert.ts";
import { unreadWords } from "./unread.ts";

/** A tensor that is shown to hold a stream's values for a layer, and the axis of it that counts rows. */
export interface ProvenTap {
  readonly node: GraphNode;
  readonly rows: TokenRows;
}

/** By layer; layers that do not have the stream are not in it. */
export type LayerTaps = ReadonlyMap<number, Proof<ProvenTap>>;

/** The streams of the registry in a graph, each in its layers, proven or refused. Searched when they are asked for. */
export class GraphTaps {
  readonly graph: Graph;
  readonly rows: RowAxes;
  readonly #shape: ModelShape;
  readonly #levels: Levels;
  readonly #found = new Map<NamedStream, LayerTaps>();
  #passes: MoePasses | null = null;
  /** Why no tensor of the graph can be trusted. */
  readonly #unread: string | null;

  constructor(graph: Graph, shape: ModelShape) {
    this.graph = graph;
    this.#shape = shape;
    this.#levels = new Levels(graph);
    this.rows = new RowAxes(graph);
    this.#unread = unreadWords(graph, this.#levels);
  }

  /** Of a stream of the registry. */
  of(stream: NamedStream): LayerTaps {
    let taps = this.#found.get(stream);
    if (!taps) {
      const { find, type } = SEARCHES[stream];
      taps = new Map(
        [...find(this)]
          .sort(([a], [b]) => a - b)
          .map(([layer, proof]) => [layer, this.#asTap(proof, type)] as const),
      );
      this.#found.set(stream, taps);
    }
    return taps;
  }

  /** The passes through the routed experts; layers whose router is in the file and that have none are refused. */
  passes(): MoePasses {
    if (!this.#passes) {
      const passes = new Map(findMoePasses(this.graph, this.#levels));
      for (const layer of this.#shape.moeLayers)
        if (!passes.has(layer))
          passes.set(layer, {
            refused: "the file has its router, but the computation runs no experts there",
          });
      this.#passes = passes;
    }
    return this.#passes;
  }

  /** A tensor of each pass. */
  ofPass(tensorOf: (pass: MoePass) => GraphNode): Map<number, Proof<GraphNode>> {
    return new Map(
      [...this.passes()].map(([layer, proof]) => [
        layer,
        "proven" in proof ? { proven: tensorOf(proof.proven) } : proof,
      ]),
    );
  }

  layerOutputs(): Map<number, Proof<GraphNode>> {
    return new Map(findLayerOutputs(this.graph, this.#shape, this.#levels).entries());
  }

  sharedExperts(): ReadonlyMap<number, Proof<GraphNode>> {
    return findSharedExperts(this.graph, this.#levels, this.passes());
  }

  attention(): ReadonlyMap<number, Proof<GraphNode>> {
    return findAttention(this.graph, this.#levels, this.rows);
  }

  /**
   * The product with the output matrix that gives the logits over the vocabulary; {@link NONE} if it is not plainly
   * one. Nothing but scaling and capping comes after it.
   */
  outputProduct(): number {
    const last = this.graph.nodes("MUL_MAT").findLast(({ index }) => this.#levels.isLive(index));
    if (!last || !OUTPUT_MATRICES.has(weightAt(last, 0)?.part ?? "")) return NONE;
    for (let at = last; ; ) {
      const [reader, another] = at.readers;
      if (!reader) return last.index;
      if (another || !["SCALE", "TANH", "MUL", "ADD"].includes(reader.op)) return NONE;
      at = reader;
    }
  }

  #asTap(proof: Proof<GraphNode>, type: number): Proof<ProvenTap> {
    return prove(() => {
      if ("refused" in proof) throw new Unproven(proof.refused);
      if (this.#unread !== null) throw new Unproven(this.#unread);
      const node = proof.proven;
      must(node.type === type, () => `its values are of another type (${node.type})`);
      const rows = this.rows.of(node.index);
      must(rows !== null, () => "which of its values belong to which token could not be followed");
      return { node, rows };
    });
  }
}

/** Models without a matrix of its own use that of the embeddings. */
const OUTPUT_MATRICES = new Set(["output.weight", "token_embd.weight"]);

interface Search {
  readonly find: (taps: GraphTaps) => Iterable<readonly [number, Proof<GraphNode>]>;
  /** `ggml_type` of the values. */
  readonly type: number;
}

const attention: Search = { find: (taps) => taps.attention(), type: TYPE.F32 };

/** Where each stream is. A new stream is an entry here. */
const SEARCHES: Readonly<Record<NamedStream, Search>> = {
  router_logits: { find: (taps) => taps.ofPass(({ logits }) => logits), type: TYPE.F32 },
  expert_ids: { find: (taps) => taps.ofPass(({ ids }) => ids), type: TYPE.I32 },
  expert_weights: { find: (taps) => taps.ofPass(({ weights }) => weights), type: TYPE.F32 },
  expert_outputs: { find: (taps) => taps.ofPass(({ expertOutputs }) => expertOutputs), type: TYPE.F32 },
  shared_expert_output: { find: (taps) => taps.sharedExperts(), type: TYPE.F32 },
  hidden_states: { find: (taps) => taps.layerOutputs(), type: TYPE.F32 },
  attention,
  attention_keys: attention,
};

/** Streams that must be computed in steps: flash attention never has the weights in memory. */
export const ATTENTION_STREAMS = STREAM_NAMES.filter((name) => SEARCHES[name] === attention);

export const needsAttentionSteps = (streams: readonly StreamName[]): boolean =>
  streams.some((name) => (ATTENTION_STREAMS as readonly StreamName[]).includes(name));
