import { EngineError } from "../../../core/errors.ts";
import type { Gating } from "../../../core/gating.ts";
import type { Plan } from "../../../core/plan.ts";
import type { RowShapes } from "../../../core/row-shapes.ts";
import type { NamedStream } from "../../../core/streams.ts";
import { gateFault } from "../../../gating/gate-fault.ts";
import { ruleWords } from "../../../gating/rule-words.ts";
import type { EditLayout } from "../edit/edit-layout.ts";
import { editedFault } from "../edit/edited-fault.ts";
import type { Llama } from "../native/bindings.ts";
import type { CollectedStep } from "./collected-step.ts";
import type { LayerRoute, LayerRoutes } from "./layer-routes.ts";
import { plainRows, type Values } from "./row-copy.ts";
import type { StepRows } from "./row-order.ts";
import type { Slot } from "./slot.ts";
import type { TapTarget, Targets } from "./targets.ts";

/** What must belong to one pass, and what is checked with what. */
const CHECKED = ["router_logits", "expert_ids", "expert_weights"] as const;
/** Streams whose rows are true only if the pass is: these, and what ids put in order. */
const ROUTED: readonly string[] = [...CHECKED, "expert_outputs"];

/** Rows of a layer that are checked; a rule that is wrong shows in nearly every one. */
const MAX_ROWS = 16;

type Checked = TapTarget & { readonly stream: NamedStream };

/**
 * Checks once for each layer, on the first rows that are computed of it, that its experts and weights are what its gate
 * makes of its logits: what was read off the graph is then true of its values. For that step all three are taken,
 * whichever were asked for.
 */
export class GateCheck {
  readonly #llama: Llama;
  readonly #routes: LayerRoutes;
  readonly #streams: RowShapes;
  readonly #architecture: string;
  /** By layer and the way it is edited. */
  readonly #passed = new Set<string>();

  /** @param streams those of the graph that {@link LayerRoutes} are of. */
  constructor(llama: Llama, routes: LayerRoutes, streams: RowShapes, architecture: string) {
    this.#llama = llama;
    this.#routes = routes;
    this.#streams = streams;
    this.#architecture = architecture;
  }

  /**
   * The layers of a plan that are still to be checked, and those whose routing is edited in a way that has not been: that
   * the edit is made, and made alone, shows in the same values.
   */
  open(plan: Plan, edits: EditLayout | null = null): Set<number> {
    const routed = plan.streams.filter(({ name }) => ROUTED.includes(name)).flatMap(({ layers }) => layers);
    const edited = (edits?.places ?? []).filter(({ op }) => op !== "output").map(({ layer }) => layer);
    const key = (layer: number) => checkedKey(layer, edits);
    return new Set([...routed, ...edited].filter((layer) => !this.#passed.has(key(layer))));
  }

  /** Targets, and what of them is missing for the check of some layers. */
  withChecked(targets: Targets, layers: ReadonlySet<number>): Targets {
    const having = new Set(targets.proven.map(keyOf));
    const missing = [...layers]
      .flatMap((layer) => CHECKED.map((stream): Checked => ({ stream, layer })))
      .filter((target) => !having.has(keyOf(target)) && this.#isProven(target));
    return missing.length === 0 ? targets : { ...targets, proven: [...targets.proven, ...missing] };
  }

  #isProven({ stream, layer }: Checked): boolean {
    const shape = this.#streams.get(stream)?.get(layer);
    return shape !== undefined && !("refused" in shape);
  }

  /**
   * Check the layers of which a step has rows, and take them out of `layers`.
   *
   * @throws EngineError naming layer, rule and what was found; nothing of the step must be given then.
   */
  check(
    layers: Set<number>,
    slots: readonly Slot[],
    step: Omit<CollectedStep, "selected" | "slots"> & Pick<StepRows, "edits">,
    edits: EditLayout | null = null,
  ): void {
    const byTarget = new Map(slots.map((slot) => [keyOf(slot), slot]));
    for (const layer of layers) {
      const found = CHECKED.map((stream) => byTarget.get(keyOf({ stream, layer })) ?? null);
      const tokens = tokensOf(found, step);
      if (tokens.length === 0) continue;
      const selected = tokens.map((token) => ({
        token,
        sample: 0,
        position: 0,
        tokenId: 0,
        phase: 0 as const,
      }));
      const [logits, ids, weights] = found.map((slot) => slot && rowsOf(slot, { ...step, selected, slots }));
      const route = this.#routes.get(layer);
      if (!ids || !route) continue;
      const rows = {
        logits: (logits as Float32Array | null) ?? null,
        ids,
        weights: (weights as Float32Array | null) ?? null,
        experts: route.experts,
        topK: ids.length / tokens.length,
      };
      const bias = this.#bias(route);
      const rowEdits = step.edits && tokens.map((token) => step.edits![token]!);
      const fault = rowEdits
        ? editedFault(rows, route.gating, bias, layer, rowEdits)
        : gateFault(rows, route.gating, bias);
      if (fault) throw this.#error(layer, route.gating, tokens[fault.row]!, fault.what);
      layers.delete(layer);
      this.#passed.add(checkedKey(layer, edits));
    }
  }

  #bias({ bias, experts }: LayerRoute): Float32Array | null {
    if (bias === null) return null;
    const values = new Float32Array(experts);
    this.#llama.readTensor(bias, new Uint8Array(values.buffer), 0, 4 * experts);
    return values;
  }

  #error(layer: number, gating: Gating | null, token: number, what: string): EngineError {
    const rule = gating ? ` By its graph the rule is: ${ruleWords(gating)}.` : "";
    return new EngineError(
      "ENGINE_FAILED",
      `the routing of layer ${layer} (${this.#architecture}) contradicts itself at token ${token} of the step: ${what}.` +
        `${rule} Nothing is given. hidden_states, attention and activation:<tensor> can be captured: leave ` +
        `${ROUTED.join(", ")} out, or the layer; and please report this model`,
    );
  }
}

function checkedKey(layer: number, edits: EditLayout | null): string {
  const ops = edits?.places.filter((place) => place.layer === layer).map(({ op }) => op) ?? [];
  const [, topK = ""] = edits?.topK.find(([of]) => of === layer) ?? [];
  return [layer, ...ops, topK].join(" ");
}

const keyOf = ({ stream, layer }: TapTarget) => `${stream} ${layer}`;

/** Some tokens of a step of which all slots have a row, spread over it. */
function tokensOf(
  slots: readonly (Slot | null)[],
  { tokens, outputIndex }: Pick<CollectedStep, "tokens" | "outputIndex">,
): number[] {
  const onlyOutputs = slots.some((slot) => slot?.rowsAre === "outputs");
  const all = Array.from({ length: tokens }, (_, token) => token);
  const having = onlyOutputs ? all.filter((token) => outputIndex[token]! >= 0) : all;
  const step = Math.max(1, having.length / MAX_ROWS);
  return Array.from({ length: Math.min(having.length, MAX_ROWS) }, (_, i) => having[Math.floor(i * step)]!);
}

function rowsOf(slot: Slot, step: CollectedStep): Values {
  const count = step.selected.length * slot.width;
  const values = slot.stream === "expert_ids" ? new Int32Array(count) : new Float32Array(count);
  plainRows(slot.width)(slot, step, values, 0);
  return values;
}
