import { largest } from "../../../core/extremes.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../facts/analysis.ts";
import { inColumn } from "../../numbers.ts";
import { layerGroups, mean } from "../parts/layer-groups.ts";
import { bold, dim } from "../parts/paint.ts";
import { clip, padLeft, padRight } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

/** A column of figures: a heading of one line or two, and what stands under it for some layers. */
interface Column {
  readonly head: readonly [string, string];
  readonly value: (layer: LayerAnalysis) => number | null;
  readonly show: (value: number) => string;
}

const fixed = (digits: number) => (value: number) => value.toFixed(digits);

/** Pairs of experts with the most similar states. */
const MAX_SIMILAR = 3;

const oneDecimal = (share: number) => `${(100 * share).toFixed(1)} %`;

const COLUMNS: readonly Column[] = [
  { head: ["", "CV"], value: ({ balance }) => balance?.cv ?? null, show: fixed(2) },
  { head: ["", "MaxVio"], value: ({ balance }) => balance?.maxVio ?? null, show: fixed(2) },
  { head: ["usage", "entropy"], value: ({ balance }) => balance?.entropy ?? null, show: fixed(3) },
  { head: ["routing", "nats"], value: ({ entropy }) => entropy?.mean ?? null, show: fixed(2) },
  { head: ["margin", "logits"], value: ({ margin }) => margin?.mean ?? null, show: fixed(2) },
  {
    head: ["label", "bits"],
    value: ({ specialization: of }) => of && Math.max(0, of.mutualInformation - of.chanceInformation),
    show: inColumn,
  },
  {
    head: ["token", "bits"],
    value: ({ tokenClasses: of }) => of && Math.max(0, of.mutualInformation - of.chanceInformation),
    show: inColumn,
  },
  {
    head: ["place", "bits"],
    value: ({ positions: of }) => of && Math.max(0, of.mutualInformation - of.chanceInformation),
    show: inColumn,
  },
];

/** Layers by what is measured of each. */
export function layerTable({ layers, experts }: CaptureAnalysis, { depth }: Terminal): string[] {
  const columns = COLUMNS.filter(({ value }) => layers.some((layer) => value(layer) !== null));
  const most = Math.log(experts).toFixed(2);
  return [
    bold(depth, "Layer by layer"),
    ...table(layers, columns, depth),
    dim(depth, `  usage entropy: 1 is even; routing entropy: at most ${most} nats`),
    dim(depth, "  bits an expert tells of label, token class and position, beyond chance"),
  ];
}

/**
 * How much of each layer's choice a linear classifier reads from the state of the layer before, and which experts of
 * one layer get the most similar states.
 */
export function probeTable(
  { layers }: CaptureAnalysis,
  close: LayerAnalysis,
  { depth, width }: Terminal,
): string[] {
  const probed = layers.filter(({ hiddenStates }) => hiddenStates?.probe);
  const [first] = probed;
  const similarPairs = (close.hiddenStates?.mostSimilar ?? [])
    .slice(0, MAX_SIMILAR)
    .map(({ a, b, cosine }) => `E${a} E${b} ${cosine.toFixed(2)}`);
  const similar =
    similarPairs.length === 0
      ? []
      : [clip(`  states most similar in L${close.layer} (cosine): ${similarPairs.join(" · ")}`, width)];
  if (!first)
    return similar.length === 0
      ? []
      : [bold(depth, "Hidden state of the layer before, by the expert that serves it"), ...similar];
  const probe = ({ hiddenStates }: LayerAnalysis) => hiddenStates!.probe!;
  return [
    bold(depth, "Best expert read from the hidden state of the layer before"),
    ...table(
      probed,
      [
        { head: ["linear", "probe"], value: (layer) => probe(layer).accuracy, show: oneDecimal },
        { head: ["by the", "token"], value: (layer) => probe(layer).tokenAccuracy, show: oneDecimal },
        { head: ["by", "chance"], value: (layer) => probe(layer).chance, show: oneDecimal },
      ],
      depth,
    ),
    dim(depth, `  part named right of ${probe(first).testedRows} tokens in texts it was not fitted on`),
    ...similar,
  ];
}

function table(
  layers: readonly LayerAnalysis[],
  columns: readonly Column[],
  depth: Terminal["depth"],
): string[] {
  const { groups, notes } = layerGroups(layers);
  const cells = groups.map(({ members }) =>
    columns.map(({ value, show }) => {
      const values = members.map(value).filter((of) => of !== null);
      return values.length === 0 ? "-" : show(mean(values));
    }),
  );
  const widths = columns.map(({ head }, i) =>
    Math.max(largest(head.map(({ length }) => length)), largest(cells.map((row) => row[i]!.length))),
  );
  const line = (name: string, texts: readonly string[]) =>
    `  ${padRight(name, 4)}${texts.map((text, i) => padLeft(text, widths[i]! + 2)).join("")}`.trimEnd();
  const heads = [0, 1].map((row) =>
    line(
      "",
      columns.map(({ head }) => head[row]!),
    ),
  );
  return [
    ...heads.filter((head) => head !== "").map((head) => dim(depth, head)),
    ...groups.map(({ name }, i) => line(name, cells[i]!)),
    ...notes.map((note) => dim(depth, `  ${note}`)),
  ];
}
