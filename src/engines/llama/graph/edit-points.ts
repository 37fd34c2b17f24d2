import type { EditKind } from "../../../core/edits.ts";
import type { EditSupport } from "../../../core/planned-edit.ts";
import { choiceStart, gateRule } from "./gate-rule.ts";
import { behindViews, type GraphNode, NONE, TYPE, weightAt } from "./graph.ts";
import type { GraphTaps, ProvenTap } from "./graph-taps.ts";
import type { MoePass } from "./moe-pass.ts";
import { must, type Proof, prove, Unproven } from "./proof.ts";
import type { TokenRows } from "./rows.ts";

/**
 * Where a layer's computation can be changed:
 * - `logits`: the router's, before anything reads them;
 * - `choice`: what the experts are chosen by, and nothing else;
 * - `gathered`: the scores of the chosen, before they become weights;
 * - `weights`: what the experts are mixed with;
 * - `output`: the hidden state after the layer.
 */
const EDIT_POINTS = ["logits", "choice", "gathered", "weights", "output"] as const;
export type EditPointName = (typeof EDIT_POINTS)[number];

/** A tensor that can be replaced by another one for those who read it. */
export interface EditPoint {
  readonly node: GraphNode;
  readonly rows: TokenRows;
  /** Who is to read the other one. */
  readonly readers: readonly GraphNode[];
}

/** Search a point in a graph. What it finds holds for every reader of the tensor that can tell. */
export function editPoint(taps: GraphTaps, layer: number, name: EditPointName): Proof<EditPoint> {
  return prove(() => {
    if (name === "output") return pointOf(taps, tapOf(taps, "hidden_states", layer));
    if (name === "logits") return pointOf(taps, tapOf(taps, "router_logits", layer));
    if (name === "weights") return pointOf(taps, tapOf(taps, "expert_weights", layer));
    const pass = passOf(taps, layer);
    const node = name === "gathered" ? pass.gathered : choiceStart(pass);
    must(node !== null, () => "its experts are looked up by token, not chosen");
    const rows = taps.rows.of(node.index);
    must(
      rows !== null && node.type === TYPE.F32,
      () => "which of its scores belong to which token is not known",
    );
    const readers = name === "gathered" ? node.readers : choosers(pass, node);
    must(readers.length > 0, () => "who chooses by its scores is not known");
    return pointOf(taps, { node, rows }, readers);
  });
}

function tapOf(
  taps: GraphTaps,
  stream: "hidden_states" | "router_logits" | "expert_weights",
  layer: number,
): ProvenTap {
  const proof = taps.of(stream).get(layer) ?? { refused: "the layer has no such thing" };
  if ("refused" in proof) throw new Unproven(proof.refused);
  return proof.proven;
}

function passOf(taps: GraphTaps, layer: number): MoePass {
  const proof = taps.passes().get(layer) ?? { refused: "the layer has no router" };
  if ("refused" in proof) throw new Unproven(proof.refused);
  return proof.proven;
}

/** Those on the way to the experts' ids. */
function choosers(pass: MoePass, from: GraphNode): GraphNode[] {
  const onTheWay = new Set([...pass.choosing, behindViews(pass.ids)]);
  return from.readers.filter((reader) => onTheWay.has(reader));
}

function pointOf({ graph }: GraphTaps, { node, rows }: ProvenTap, readers = node.readers): EditPoint {
  const { viewOf, hasCopies } = graph.parts;
  must(!hasCopies, () => "the computation is spread over several devices");
  must(viewOf[node.index] === NONE, () => "it shares the memory of another tensor");
  for (let i = node.index + 1; i < graph.nodeCount; i++)
    must(viewOf[i] !== node.index || graph.isView(i), () => "something else is written to its memory");
  must(
    node.shape.slice(rows.axis + 1).every((size) => size === 1),
    () => "its rows do not lie one behind the other",
  );
  let step = 4;
  for (const [axis, size] of node.shape.entries()) {
    must(size === 1 || node.strides[axis] === step, () => "its values do not lie one behind the other");
    step *= size;
  }
  return { node, rows, readers: [...new Set(readers)] };
}

/** Which edits a graph admits, by kind and layer. */
export function editSupport(taps: GraphTaps): EditSupport {
  const layers = [...taps.passes().keys()];
  const routing = (needs: (layer: number) => string | null) =>
    new Map(layers.map((layer) => [layer, needs(layer)] as const));
  const at = (layer: number, names: readonly EditPointName[]): string | null => {
    for (const name of names) {
      const proof = editPoint(taps, layer, name);
      if ("refused" in proof) return proof.refused;
    }
    return null;
  };
  const ruleOf = (layer: number) => {
    const proof = taps.passes().get(layer)!;
    return "refused" in proof ? proof : gateRule(proof.proven);
  };
  const known = (layer: number): string | null => {
    const rule = ruleOf(layer);
    return "refused" in rule ? rule.refused : null;
  };
  const ban = (layer: number): string | null => {
    const rule = ruleOf(layer);
    if ("refused" in rule) return rule.refused;
    // Where others choose by the same scores, these must make the banned expert's 0 for all of them.
    if (rule.proven.gating.score === "softmax") return at(layer, ["logits", "choice"]);
    return othersChoose(taps, layer) ?? at(layer, ["choice"]);
  };
  const alone = (layer: number, ...names: EditPointName[]) =>
    known(layer) ?? othersChoose(taps, layer) ?? at(layer, names);
  return new Map<EditKind, ReadonlyMap<number, string | null>>([
    ["ban", routing(ban)],
    ["force", routing((layer) => alone(layer, "choice"))],
    ["bias", routing((layer) => known(layer) ?? at(layer, ["logits"]))],
    ["replay", routing((layer) => alone(layer, "choice", "weights"))],
    ["topK", routing((layer) => alone(layer, "gathered"))],
    ["add", new Map([...taps.layerOutputs().keys()].map((layer) => [layer, at(layer, ["output"])] as const))],
  ]);
}

/** The same edits, none of which is made. */
export function refusedEverywhere(support: EditSupport, reason: string): EditSupport {
  return new Map(
    [...support].map(([kind, layers]) => [kind, new Map([...layers.keys()].map((l) => [l, reason]))]),
  );
}

/** Whether a layer runs experts of another kind, for a choice of their own (GroveMoE). */
function othersChoose(taps: GraphTaps, layer: number): string | null {
  const proof = taps.passes().get(layer)!;
  if ("refused" in proof) return proof.refused;
  const { ids } = proof.proven;
  const others = taps.graph
    .nodes("MUL_MAT_ID")
    .some((node) => weightAt(node, 0)?.layer === layer && node.sources[2] !== ids);
  return others ? "further experts of the layer are chosen apart from these" : null;
}
