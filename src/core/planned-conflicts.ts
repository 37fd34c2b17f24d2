import { RequestError } from "./errors.ts";
import { smallest } from "./extremes.ts";
import type { ModelInfo } from "./model-info.ts";
import { moeLayer } from "./moe-layer.ts";
import type { PlannedEdit } from "./planned-edit.ts";

/**
 * Whether the edits of one sample can all be made: a layer keeps enough experts, and nothing is both banned and forced.
 *
 * @throws RequestError `INVALID_ARGUMENT` naming layer and experts.
 */
export function assertCompatible({ moe }: ModelInfo, edits: readonly PlannedEdit[], where: string): void {
  if (!moe) return;
  for (const layer of moe.layers) {
    const here = edits.filter((edit) => edit.kind !== "add" && edit.layers.includes(layer));
    // Edits that hold for different rows do not meet.
    const groups = here.map((first) => here.filter((other) => mayMeet(first, other)));
    for (const group of groups) assertLayer(layer, moeLayer(moe, layer), group, where);
  }
}

function assertLayer(
  layer: number,
  { experts, topK, gating }: ReturnType<typeof moeLayer>,
  edits: readonly PlannedEdit[],
  where: string,
): void {
  const banned = new Set(edits.flatMap((edit) => (edit.kind === "ban" ? edit.experts : [])));
  const forced = new Set(edits.flatMap((edit) => (edit.kind === "force" ? edit.experts : [])));
  const used = Math.min(topK, smallest(edits.flatMap((edit) => (edit.kind === "topK" ? [edit.topK] : []))));
  const refuse = (what: string): never => {
    throw new RequestError("INVALID_ARGUMENT", `${where}: layer ${layer}: ${what}`);
  };
  if (experts - banned.size < topK)
    refuse(
      `${banned.size} of its ${experts} experts are banned, which leaves fewer than the ${topK} it uses for a token`,
    );
  if (forced.size > used) refuse(`${forced.size} experts are forced, and it uses ${used} for a token`);
  const both = [...forced].find((expert) => banned.has(expert));
  if (both !== undefined) refuse(`expert ${both} is both banned and forced`);
  const replays = edits.filter(({ kind }) => kind === "replay").length;
  if (replays > 1) refuse("two routes are replayed for the same rows");
  if (replays > 0 && edits.some(({ kind }) => kind === "ban" || kind === "force" || kind === "topK"))
    refuse("a replay says all experts of a token: ban, force and topK cannot come on top");
  if (!gating?.groups) return;
  const { count, used: open, best } = gating.groups;
  const size = experts / count;
  const groupOf = (expert: number) => Math.floor(expert / size);
  if (new Set([...forced].map(groupOf)).size > open)
    refuse(`the forced experts lie in more groups than the ${open} it chooses from`);
  const left = Array.from({ length: count }, () => size);
  for (const expert of banned) left[groupOf(expert)]!--;
  // A group is as good as its best experts together: one that has fewer is chosen only for want of others.
  const usable = left.filter((experts) => experts >= best).sort((a, b) => a - b);
  const fewest = usable.slice(0, open).reduce((sum, experts) => sum + experts, 0);
  if (banned.size > 0 && (usable.length < open || fewest < topK))
    refuse(
      `its experts are chosen from ${open} of ${count} groups, and the banned ones may leave fewer than ${topK} there`,
    );
}

/** Whether two edits may hold for the same token. */
function mayMeet({ select: a }: PlannedEdit, { select: b }: PlannedEdit): boolean {
  if (a.phase !== null && b.phase !== null && a.phase !== b.phase) return false;
  // A negative position counts from the end of the prompt: which one that is depends on the sample.
  const listed = (positions: Int32Array | null): positions is Int32Array =>
    positions?.every((position) => position >= 0) ?? false;
  if (!listed(a.positions) || !listed(b.positions)) return true;
  const others = new Set(b.positions);
  return a.positions.some((position) => others.has(position));
}
