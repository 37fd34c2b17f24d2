import { schema } from "../../../core/schema.ts";
import type { LayerChunk } from "../../rows/layer-chunk.ts";
import {
  addValues,
  type Moments,
  mergeMoments,
  momentsFromJson,
  momentsToJson,
  noMoments,
  type RowSummary,
  summaryOf,
} from "../../statistics/moments.ts";
import type { LayerNeed, StreamTally } from "../measure.ts";

/** A number of each row of a layer, summed up over all rows and by label. */
export interface MomentsByLabel {
  readonly all: Moments;
  readonly labels: readonly (string | null)[];
  readonly byLabel: readonly Moments[];
}

/** {@link RowSummary} of all rows, with the mean of each label that has rows. */
export interface SummaryByLabel extends RowSummary {
  readonly byLabel: readonly { readonly label: string | null; readonly mean: number | null }[];
}

/** @param valuesOf a number of each row of a chunk; `null` where the layer has none. */
export function rowMoments(
  needs: readonly LayerNeed[],
  valuesOf: (chunk: LayerChunk) => Float64Array | null,
): StreamTally<MomentsByLabel> {
  return {
    needs,
    start: ({ labels: { names } }) => ({ all: noMoments(), labels: names, byLabel: names.map(noMoments) }),
    take({ all, byLabel }, chunk, { labels }) {
      const values = valuesOf(chunk);
      if (!values) return;
      const { sample, rows } = chunk;
      addValues(all, values, 0, rows);
      // Rows of a sample mostly come together.
      for (let from = 0, to = 0; from < rows; from = to) {
        while (to < rows && sample[to] === sample[from]) to++;
        addValues(byLabel[labels.ofSample[sample[from]!]!]!, values, from, to);
      }
    },
    merge(a, b) {
      const labels = [...new Set([...a.labels, ...b.labels])];
      const part = (of: MomentsByLabel, label: string | null) =>
        of.byLabel[of.labels.indexOf(label)] ?? noMoments();
      return {
        all: mergeMoments(a.all, b.all),
        labels,
        byLabel: labels.map((label) => mergeMoments(part(a, label), part(b, label))),
      };
    },
    toJson: ({ all, labels, byLabel }) => ({
      all: momentsToJson(all),
      byLabel: labels.map((label, i) => ({ label, ...momentsToJson(byLabel[i]!) })),
    }),
    fromJson: stateSchema,
  };
}

const stateSchema = schema((z) =>
  z
    .object({
      all: momentsFromJson(),
      byLabel: z.array(z.intersection(z.object({ label: z.string().nullable() }), momentsFromJson())),
    })
    .transform(
      ({ all, byLabel }): MomentsByLabel => ({
        all,
        labels: byLabel.map(({ label }) => label),
        byLabel: byLabel.map(({ label: _, ...moments }) => moments),
      }),
    ),
);

/** `null` without rows. */
export function summaryByLabel({ all, labels, byLabel }: MomentsByLabel): SummaryByLabel | null {
  if (all.rows === 0) return null;
  return {
    ...summaryOf(all),
    byLabel: labels.flatMap((label, i) =>
      byLabel[i]!.rows > 0 ? [{ label, mean: summaryOf(byLabel[i]!).mean }] : [],
    ),
  };
}

export const summaryByLabelSchema = schema((z) =>
  z
    .strictObject({
      rows: z.int().nonnegative().meta({ description: "rows where it is finite" }),
      notFinite: z
        .int()
        .nonnegative()
        .meta({ description: "rows that are left out: it is not finite there" }),
      mean: z.number().nullable(),
      deviation: z.number().nullable().meta({ description: "unbiased standard deviation" }),
      min: z.number().nullable(),
      max: z.number().nullable(),
      byLabel: z
        .array(z.strictObject({ label: z.string().nullable(), mean: z.number().nullable() }))
        .meta({ description: "of each label that has rows" }),
    })
    .nullable(),
);
