import type { Gating } from "../core/gating.ts";

/** A rule in some words, for people: `sigmoid, bias on the choice, weights normalised`. */
export function ruleWords({
  score,
  chosenBy,
  normalize,
  scale,
  selectionBias,
  groups,
  weighted,
}: Gating): string {
  const by = {
    scores: [],
    logits: ["chosen by the logits"],
    sigmoid: ["chosen by their sigmoid"],
    token_id: ["chosen by token id"],
  }[chosenBy];
  return [
    score.replaceAll("_", " "),
    ...by,
    ...(normalize ? ["weights normalised"] : []),
    ...(scale === 1 ? [] : [`times ${Number(scale.toPrecision(4))}`]),
    ...(selectionBias ? ["bias on the choice"] : []),
    ...(groups ? [`best ${groups.used} of ${groups.count} groups`] : []),
    ...(weighted === "inputs" ? ["weights on the inputs"] : []),
  ].join(", ");
}
