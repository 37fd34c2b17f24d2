import { largest } from "../../core/extremes.ts";
import type { RankPlacementFacts } from "../facts/rank-placement.ts";
import { count, plural } from "../numbers.ts";
import { alignColumns } from "./parts/columns.ts";
import { header } from "./parts/header.ts";
import { layerGroups, mean } from "./parts/layer-groups.ts";
import { bold, dim } from "./parts/paint.ts";
import { padLeft, padRight, wrap } from "./parts/text.ts";
import type { Terminal } from "./terminal.ts";

/** How even ranks are with experts in their order and as placed, layer by layer. */
export function rankPlacementView(found: RankPlacementFacts, engine: string, terminal: Terminal): string[] {
  const { layout, imbalance, model, rows, expert_count } = found;
  const { depth, width } = terminal;
  const { groups, notes } = layerGroups(imbalance);
  const figure = (values: readonly (number | null)[]) => {
    const known = values.filter((value) => value !== null);
    return known.length === 0 ? "-" : mean(known).toFixed(2);
  };
  const cells = groups.map(({ name, members }) => [
    name,
    figure(members.map(({ inOrder }) => inOrder)),
    figure(members.map(({ placed }) => placed)),
  ]);
  const replicas = layout.replicas - model.moe!.experts;
  const most = largest(expert_count.map((counts) => largest(counts)));
  return [
    ...header(model, engine, terminal),
    "",
    bold(
      depth,
      `${layout.replicas} experts a layer on ${plural(layout.ranks, "rank")} of ${plural(layout.nodes, "node")}` +
        (replicas > 0 ? `: ${plural(replicas, "replica")}, at most ${most} of one expert` : ""),
    ),
    dim(depth, "  load of the busiest rank over the mean; 1 is even"),
    ...alignColumns([["", "in order", "placed"], ...cells], [padRight, padLeft, padLeft]).map((line) =>
      `  ${line}`.trimEnd(),
    ),
    ...notes.map((note) => dim(depth, `  ${note}`)),
    "",
    ...wrap(
      `Measured on the ${count(rows)} tokens that the placement was made from; other tokens will be less even. ` +
        "The maps are those of DeepSeek's EPLB: --json has them, --out FILE writes them for SGLang's --init-expert-location. " +
        "vLLM reads no map; it makes its own by the same rule from the load it sees (--enable-eplb).",
      width,
    ).map((line) => dim(depth, line)),
  ];
}
