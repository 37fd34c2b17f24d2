import type { Gating, Score } from "../core/gating.ts";

/**
 * What llama.cpp's source says of an architecture's gating rule: what its graph builder passes to `build_moe_ffn`, and
 * which of that its loader takes from the model's file. Written by `tools/llama-gating`.
 */
export type ArchitectureRule = KnownRule | UnknownRule;

export interface KnownRule {
  /** `file`: the key `expert_gating_func` says it. */
  readonly score: Score | "file";
  /** Without that key. `null`: there is none, and llama.cpp refuses the file or ends the process. */
  readonly scoreDefault?: Score | ScoreBySize | null;
  /** `file`: the key `expert_weights_norm` says it, without it they are not. */
  readonly normalize: boolean | "file";
  /** `file`: the key `expert_weights_scale` says it, without it 1. Elsewhere a key in the file is not read. */
  readonly scale: number | "file";
  /** Whether `exp_probs_b` is added in the layers that have it. */
  readonly selectionBias: boolean;
  /** What the choice goes by, where not by the scores. */
  readonly chosenBy?: Exclude<Gating["chosenBy"], "scores">;
  /** What the weights are multiplied with, where not the experts' outputs. */
  readonly weighted?: "inputs";
  /** A key with the number of leading layers whose experts are looked up by token. */
  readonly byToken?: string;
  /** Whether the router's linear map has a bias, which is part of its logits. */
  readonly routerBias?: true;
  /** `before`: the logits are computed by the caller, of other values perhaps than those the experts get. */
  readonly logits?: "before";
  /** `layer`: `expert_used_count` counts by layer; elsewhere the first layer's number holds for all. */
  readonly topK?: "layer";
  /** Experts that are called in the same layer beside the routed ones, by the name of their weight. */
  readonly beside?: readonly string[];
  /** Where llama.cpp's source says it: `file.cpp:line` in `src/models`. */
  readonly from: readonly string[];
}

interface UnknownRule {
  /** Why the script could not read it. */
  readonly unknown: string;
  readonly from: readonly string[];
}

/** The score function of files that do not name it, told by what else they say. */
interface ScoreBySize {
  /** With one of these numbers of layers and this vocabulary... */
  readonly layers: readonly number[];
  readonly vocabSize: number;
  /** ...this one, */
  readonly score: Score;
  readonly otherwise: Score;
}
