import { checkUsage } from "../analysis/check-usage.ts";
import type { ExpertUsage } from "../analysis/expert-usage.ts";
import type { UsageCounts } from "../analysis/measures/tallies/expert-counts.ts";
import { shareInterval } from "../analysis/statistics/cluster-interval.ts";

/** Usage as a table, a line per layer, label and expert. */
export interface UsageRow {
  readonly layer: number;
  readonly expert: number;
  /** `null` in the lines over all rows, and for samples without a label; {@link UsageRow.all} tells them apart. */
  readonly label: string | null;
  /** Whether the line counts all rows, whatever their label. */
  readonly all: boolean;
  readonly rows: number;
  readonly count: number;
  /** count / rows; topK / experts is fair. */
  readonly share: number;
  /** 95 % interval of the share, a text as one observation; 0 to 1 where how texts differ is not known. */
  readonly low: number;
  readonly high: number;
  /** Sum of the mixing weights; `null` when they were not captured. */
  readonly weight: number | null;
}

/**
 * Usage as lines of a table: first those over all rows of a layer, then those of each label.
 *
 * @throws RequestError `INVALID_ARGUMENT` for what is no usage.
 * @example
 * import { usageTable } from "moescope";
 * import { expertUsage } from "moescope/analysis";
 * const lines = [...usageTable(expertUsage(capture))];
 * const [busiest] = lines.filter(({ all }) => all).sort((a, b) => b.share - a.share);
 * console.log(busiest?.layer, busiest?.expert, busiest?.share, [busiest?.low, busiest?.high]);
 */
export function usageTable(usage: ExpertUsage): Generator<UsageRow> {
  return rowsOfUsage(checkUsage("usageTable", usage));
}

function* rowsOfUsage({ layers }: ExpertUsage): Generator<UsageRow> {
  for (const [layer, { byLabel, ...all }] of layers) {
    yield* rowsOf(layer, null, true, all);
    for (const [label, counts] of byLabel) yield* rowsOf(layer, label, false, counts);
  }
}

function* rowsOf(
  layer: number,
  label: string | null,
  all: boolean,
  { rows, counts, weights, spread }: UsageCounts,
): Generator<UsageRow> {
  for (const [expert, count] of counts.entries()) {
    const [low, high] = rows === 0 || !spread ? [0, 1] : shareInterval(count, rows, spread, expert, 0.95);
    const share = rows === 0 ? 0 : count / rows;
    yield { layer, expert, label, all, rows, count, share, low, high, weight: weights?.[expert] ?? null };
  }
}

const COLUMNS = [
  "layer",
  "expert",
  "label",
  "all",
  "rows",
  "count",
  "share",
  "low",
  "high",
  "weight",
] as const;

/** RFC 4180: quotes where they are needed, an empty field for what is absent; lines end in CR LF. */
export function* usageCsv(usage: ExpertUsage): Generator<Uint8Array> {
  yield Buffer.from(`${COLUMNS.join(",")}\r\n`);
  for (const row of usageTable(usage))
    yield Buffer.from(`${COLUMNS.map((column) => field(row[column])).join(",")}\r\n`);
}

function field(value: string | number | boolean | null): string {
  const text = value === null ? "" : String(value);
  // An empty label is not the same as none.
  return text === "" && value !== null
    ? '""'
    : /[",\r\n]/.test(text)
      ? `"${text.replaceAll('"', '""')}"`
      : text;
}

/** The table as one Parquet file. A model of 61 layers, 256 experts and ten labels has 172 000 lines. */
export async function usageParquet(usage: ExpertUsage): Promise<Uint8Array> {
  const { ByteWriter, ParquetWriter } = await import("hyparquet-writer");
  const table = [...usageTable(usage)];
  const column = <K extends keyof UsageRow>(name: K) => table.map((row) => row[name]);
  const whole = (name: "layer" | "expert") => Int32Array.from(column(name));
  const double = (name: "share" | "low" | "high") => Float64Array.from(column(name));
  const counts = (name: "count" | "rows") => BigInt64Array.from(column(name), BigInt);
  const bytes = new ByteWriter();
  const required = { repetition_type: "REQUIRED" } as const;
  const optional = { repetition_type: "OPTIONAL" } as const;
  const parquet = new ParquetWriter({
    writer: bytes,
    createdBy: "moescope",
    schema: [
      { name: "root", num_children: COLUMNS.length },
      { name: "layer", type: "INT32", ...required },
      { name: "expert", type: "INT32", ...required },
      { name: "label", type: "BYTE_ARRAY", converted_type: "UTF8", ...optional },
      { name: "all", type: "BOOLEAN", ...required },
      { name: "rows", type: "INT64", ...required },
      { name: "count", type: "INT64", ...required },
      { name: "share", type: "DOUBLE", ...required },
      { name: "low", type: "DOUBLE", ...required },
      { name: "high", type: "DOUBLE", ...required },
      { name: "weight", type: "DOUBLE", ...optional },
    ],
  });
  parquet.write({
    columnData: [
      { name: "layer", data: whole("layer") },
      { name: "expert", data: whole("expert") },
      { name: "label", data: column("label") },
      { name: "all", data: column("all") },
      { name: "rows", data: counts("rows") },
      { name: "count", data: counts("count") },
      { name: "share", data: double("share") },
      { name: "low", data: double("low") },
      { name: "high", data: double("high") },
      { name: "weight", data: column("weight") },
    ],
  });
  parquet.finish();
  return bytes.getBytes();
}
