import { largest } from "../../../core/extremes.ts";
import { viridis } from "../../colours.ts";
import type { ComparisonFacts } from "../../facts/comparison.ts";
import { information, percent } from "../../numbers.ts";
import { bar } from "../parts/bar.ts";
import { layerGroups, mean } from "../parts/layer-groups.ts";
import { bold, dim, foreground } from "../parts/paint.ts";
import { displayWidth, padLeft, padRight } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

const HEADINGS = ["", "exact", "overlap", "top-1", "KL, nats", "first"];

/** Layer by layer how many tokens keep their experts, with a bar from 0 to 100 %. */
export function agreementTable({ layers, rows }: ComparisonFacts, { width, depth }: Terminal): string[] {
  const { groups, notes } = layerGroups(layers);
  const lines = groups.map(({ name, members }) => {
    const part = (of: (layer: ComparisonFacts["layers"][number]) => number) => mean(members.map(of));
    const kl = members.map((layer) => layer.kl).filter((value) => value !== null);
    const exact = part((layer) => layer.exact);
    const first = part((layer) => layer.firstToDiffer) / rows;
    const overlap = part((layer) => layer.overlap);
    const top1 = part((layer) => layer.top1);
    const nats = kl.length === 0 ? "no logits" : information(mean(kl));
    return { exact, cells: [name, percent(exact), percent(overlap), percent(top1), nats, percent(first)] };
  });
  const widths = HEADINGS.map((head, i) =>
    Math.max(displayWidth(head), largest(lines.map(({ cells }) => displayWidth(cells[i]!)))),
  );
  const row = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? padRight : padLeft)(cell, widths[i]!)).join("  ");
  const barWidth = width - displayWidth(row(HEADINGS)) - 2;
  return [
    bold(depth, "Tokens that keep their experts, by layer"),
    dim(depth, `${row(HEADINGS)}  exact, 0 to 100 %`),
    ...lines.map(
      ({ exact, cells }) => `${row(cells)}  ${foreground(depth, viridis(exact), bar(exact, barWidth))}`,
    ),
    dim(depth, "exact: the same set · overlap: experts in common · top-1: the same best one"),
    dim(depth, "KL(A‖B) of the softmax of the router logits · first: differ here, not before"),
    ...notes.map((note) => dim(depth, note)),
  ];
}
