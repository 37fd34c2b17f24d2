import { PHASES } from "../../core/rows.ts";
import { schema } from "../../core/schema.ts";
import type { RowColumns } from "../rows/row-columns.ts";
import { sampleSpans } from "../rows/sample-spans.ts";
import type { CaptureMeasure, ScanScope, Tally } from "./measure.ts";

/** A sample token by token. */
export interface TextStrip {
  readonly sample: number;
  readonly label: string | null;
  /** Tokens of the sample that the capture has; the strip may hold only the first. */
  readonly rows: number;
  readonly tokens: readonly {
    readonly position: number;
    readonly text: string;
    readonly generated: boolean;
  }[];
  /** The layers of {@link entropy} and {@link best}. */
  readonly layers: readonly number[];
  /** `[layer][token]`, nats, 3 digits; `null` without router logits. */
  readonly entropy: readonly (readonly number[])[] | null;
  /** `[layer][token]`: the best expert. */
  readonly best: readonly (readonly number[])[];
}

/** Tokens of a strip: a page of text, and 48 layers of it are 25 000 numbers. */
const MAX_TOKENS = 512;
const GENERATED = PHASES.indexOf("generated");

/** The first rows of a sample. */
interface Strip {
  readonly sample: number;
  readonly from: number;
  readonly to: number;
  /** Rows the sample has. */
  readonly rows: number;
}

interface Ahead {
  readonly strips: readonly Strip[];
  readonly columns: RowColumns;
}

/** Of one layer, by strip and token. */
interface StripValues {
  readonly entropy: number[] | null;
  readonly best: number[];
}

const strips: Tally<StripValues[], Ahead, StripValues[]> = {
  needs: ["chosen"],
  prepare: (columns, scope) => ({ strips: chosenStrips(columns, scope), columns }),
  start: ({ ahead }) => ahead.strips.map(() => ({ entropy: [], best: [] })),
  take(state, chunk, { ahead }) {
    const end = chunk.from + chunk.rows;
    ahead.strips.forEach(({ from, to }, i) => {
      if (to <= chunk.from || from >= end) return;
      const { entropy } = chunk;
      for (let row = Math.max(from, chunk.from); row < Math.min(to, end); row++) {
        const at = row - chunk.from;
        state[i]!.best.push(chunk.bestFirst[at * chunk.topK]!);
        if (entropy) state[i]!.entropy!.push(Number(entropy[at]!.toFixed(3)));
      }
    });
  },
};

/** Some samples token by token: the first of each label, then others in order. */
export const texts: CaptureMeasure<"texts", readonly TextStrip[], StripValues[], StripValues[], Ahead> = {
  name: "texts",
  scope: "capture",
  cost: "count",
  keeps: strips,
  layer: (values) => values,
  gather: (parts, { ahead, samples, tokenText }, layers) => {
    const { strips, columns } = ahead;
    if (layers.length === 0) return [];
    return strips.map(({ sample, from, to, rows }, i): TextStrip => {
      const values = parts.map((part) => part![i]!);
      const withLogits = values.every(({ entropy, best }) => entropy?.length === best.length);
      return {
        sample,
        label: samples[sample]!.label,
        rows,
        tokens: Array.from({ length: to - from }, (_, at) => ({
          position: columns.position[from + at]!,
          text: tokenText(columns.tokenId[from + at]!),
          generated: columns.phase[from + at] === GENERATED,
        })),
        layers,
        entropy: withLogits ? values.map(({ entropy }) => entropy!) : null,
        best: values.map(({ best }) => best),
      };
    });
  },
  summary: { of: () => null, schema: schema((z) => z.null()) },
  schema: schema((z) => {
    const count = z.int().nonnegative();
    return z.array(
      z.strictObject({
        sample: count,
        label: z.string().nullable(),
        rows: count.meta({ description: "tokens of the sample; the strip may hold only the first" }),
        tokens: z.array(z.strictObject({ position: count, text: z.string(), generated: z.boolean() })),
        layers: z.array(count),
        entropy: z
          .array(z.array(z.number()))
          .nullable()
          .meta({ description: "[layer][token], nats, 3 digits; null without router logits" }),
        best: z.array(z.array(count)).meta({ description: "[layer][token]: the best expert" }),
      }),
    );
  }),
  words: {
    title: "Texts token by token",
    text: "Routing entropy and the best expert along some texts.",
    uncertainty: "none",
    terms: {
      top_expert: {
        title: "Top expert",
        text: "The expert of most weight for a token; where weights were not captured, of the greatest router logit.",
      },
    },
  },
};

function chosenStrips(columns: RowColumns, { samples, settings }: ScanScope): Strip[] {
  const spans = sampleSpans(columns);
  const seen = new Set<string | null>();
  const firsts = spans.filter(({ sample }) => {
    const { label } = samples[sample]!;
    return !seen.has(label) && seen.add(label);
  });
  return [...new Set([...firsts, ...spans])].slice(0, settings.texts).map(({ sample, from, to }) => ({
    sample,
    from,
    to: Math.min(to, from + MAX_TOKENS),
    rows: to - from,
  }));
}
