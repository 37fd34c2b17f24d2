import { type Edit, type EditKind, editKind, type RecordedRoutes } from "./edits.ts";
import { RequestError } from "./errors.ts";
import { smallest } from "./extremes.ts";
import type { ModelInfo, MoeInfo, MoeLayer } from "./model-info.ts";
import { moeInfo, moeLayer } from "./moe-layer.ts";
import { ranges, resolveLayers } from "./plan.ts";
import { assertCompatible } from "./planned-conflicts.ts";
import type { EditSupport, PlannedEdit } from "./planned-edit.ts";
import { plannedRoutes } from "./planned-routes.ts";
import { type ResolvedSelection, resolveSelection } from "./row-selection.ts";

/** The sample that is edited. */
export interface EditedSample {
  /** Its number in the run. */
  readonly sample: number;
  readonly tokens: Int32Array;
  readonly maxTokens: number;
  /** For messages: `prompt 3`. */
  readonly where: string;
}

/** What plans edits: the model, and what its engine can edit. */
export interface EditPlanner {
  readonly model: ModelInfo;
  readonly engine: string;
  /** `undefined`: nothing. */
  readonly support: EditSupport | undefined;
}

/**
 * Resolve the edits of one sample: those of its run, then its own.
 *
 * @param known edits that were resolved before; those that do not depend on the sample are shared.
 * @throws RequestError `INVALID_ARGUMENT` or `UNKNOWN_LAYER`, naming the edit and what is wrong with it.
 */
export function planEdits(
  planner: EditPlanner,
  edits: readonly Edit[],
  sample: EditedSample,
  known = new Map<Edit, PlannedEdit>(),
): PlannedEdit[] {
  const planned = edits.map((edit, i) => {
    const found = known.get(edit);
    if (found) return found;
    const fresh = planOne(planner, edit, sample, `${sample.where}: edits[${i}]`);
    if (!("replay" in edit)) known.set(edit, fresh);
    return fresh;
  });
  assertCompatible(planner.model, planned, sample.where);
  return planned;
}

function planOne(planner: EditPlanner, edit: Edit, sample: EditedSample, where: string): PlannedEdit {
  const kind = editKind(edit);
  const { model } = planner;
  const layers = layersOf(model, edit, kind, where);
  assertSupported(planner, kind, layers, where);
  const select = selectOf(edit, sample, where);
  const base = { layers, select };
  if ("ban" in edit) return { ...base, kind: "ban", experts: expertsOf(model, edit.ban, layers, where) };
  if ("force" in edit)
    return { ...base, kind: "force", experts: expertsOf(model, edit.force, layers, where) };
  if ("bias" in edit) {
    const experts = expertsOf(model, Object.keys(edit.bias).map(Number), layers, where);
    return { ...base, kind: "bias", experts, values: experts.map((expert) => edit.bias[expert]!) };
  }
  if ("add" in edit) return { ...base, kind: "add", vector: vectorOf(model, edit, where) };
  if ("topK" in edit) {
    for (const layer of layers) {
      const { topK } = moeLayer(model.moe!, layer);
      if (edit.topK > topK)
        throw refused(
          `${where}: topK ${edit.topK} is more than the ${topK} experts that layer ${layer} computes for a token; ` +
            "fewer can be used, not more",
        );
    }
    return { ...base, kind: "topK", topK: edit.topK };
  }
  if (typeof edit.replay === "string")
    throw new TypeError("a folder is opened before its routes are planned");
  const routes = plannedRoutes(edit.replay as RecordedRoutes, edit, model.moe!, layers, sample, where);
  return { ...base, layers: [...routes.ids.keys()], kind: "replay", routes };
}

function layersOf(model: ModelInfo, edit: Edit, kind: EditKind, where: string): number[] {
  const { moe } = model;
  if (kind !== "add" && !moe)
    throw refused(`${where}: ${model.name} has no MoE layers, so there is no routing to edit`);
  if (!edit.layers) return [...moe!.layers];
  const layers = [...resolveLayers(edit.layers, model.layers)].sort((a, b) => a - b);
  const dense = kind === "add" ? undefined : layers.find((layer) => !moe!.layers.includes(layer));
  if (dense !== undefined)
    throw new RequestError(
      "UNKNOWN_LAYER",
      `${where}: layer ${dense} is dense and has no router; the MoE layers are ${ranges(moe!.layers)}`,
    );
  return layers;
}

function assertSupported(
  { engine, model, support }: EditPlanner,
  kind: EditKind,
  layers: readonly number[],
  where: string,
): void {
  const byLayer = support?.get(kind);
  if (!byLayer)
    throw refused(`${where}: ${engine} cannot make the edit ${kind}; leave it out, or use another engine`);
  for (const layer of layers) {
    const reason = byLayer.has(layer) ? byLayer.get(layer)! : "nothing of it is known";
    if (reason !== null)
      throw refused(
        `${where}: ${kind} cannot be made exactly in layer ${layer} of ${model.name} (${model.architecture}): ${reason}; ` +
          "leave the layer or the edit out",
      );
  }
}

function selectOf(edit: Edit, { maxTokens }: EditedSample, where: string): ResolvedSelection {
  const select = resolveSelection(("select" in edit && edit.select) || {});
  if (select.last !== null && (select.phase === "generated" || (maxTokens > 0 && select.phase === null)))
    throw refused(
      `${where}: select.last counts the rows of the prompt, as nobody knows beforehand where a continuation ends; ` +
        'say phase: "prompt" too',
    );
  return select;
}

function expertsOf(
  { moe }: ModelInfo,
  experts: readonly number[],
  layers: readonly number[],
  where: string,
): readonly number[] {
  for (const layer of layers) {
    const count = moeLayer(moe!, layer).experts;
    const beyond = experts.find((expert) => expert >= count);
    if (beyond !== undefined)
      throw refused(`${where}: layer ${layer} has no expert ${beyond}; it has experts 0 to ${count - 1}`);
  }
  return [...new Set(experts)];
}

function vectorOf(
  { hiddenSize }: ModelInfo,
  { add, scale = 1 }: Extract<Edit, { add: unknown }>,
  where: string,
): Float32Array {
  if (add.length !== hiddenSize)
    throw refused(
      `${where}: the vector has ${add.length} values, a hidden state of the model has ${hiddenSize}`,
    );
  const vector = Float32Array.from(add, (value) => value * scale);
  if (!vector.every(Number.isFinite))
    throw refused(`${where}: scaled, the vector is beyond single precision`);
  return vector;
}

/** The model as a run with some edits uses it: with fewer experts a token. */
export function editedModel(model: ModelInfo, planned: readonly PlannedEdit[]): ModelInfo {
  const { moe } = model;
  const topKs = planned.filter((edit) => edit.kind === "topK");
  if (!moe || topKs.length === 0) return model;
  const each = moe.layers.map((layer): MoeLayer => {
    const { experts, topK, gating } = moeLayer(moe, layer);
    const own = topKs.filter(({ layers }) => layers.includes(layer)).map((edit) => edit.topK);
    return { experts, gating, topK: Math.min(topK, smallest(own)) };
  });
  const edited: MoeInfo = moeInfo(moe.layers, each, moe.sharedExperts);
  return {
    ...model,
    moe: { ...edited, ...(moe.zeroExperts !== undefined && { zeroExperts: moe.zeroExperts }) },
  };
}

const refused = (message: string) => new RequestError("INVALID_ARGUMENT", message);
