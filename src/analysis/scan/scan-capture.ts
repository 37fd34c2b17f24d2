import type { Capture } from "../../capture/capture.ts";
import type { DerivedInput, Measure, ScanScope, ScanSettings } from "../measures/measure.ts";
import { withSources } from "../measures/registry.ts";
import { fitsByte } from "../rows/known-runs.ts";
import { columnsOf } from "../rows/row-columns.ts";
import { readerOf } from "../rows/stream-reader.ts";
import { type IdColumn, prepared, type ScanWork } from "./scan-layer.ts";
import { type ScanResults, Schedule } from "./schedule.ts";
import { scanScope } from "./scope.ts";
import { runHere, runOnThreads } from "./threads.ts";

/** Parts that are done, of so many; about one per layer takes long. */
export interface ScanProgress {
  readonly done: number;
  readonly total: number;
}

export interface ScanOptions {
  readonly threads: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: ScanProgress) => void) | undefined;
}

/** What a scan found, by measure. */
export interface ScanFindings {
  readonly layers: readonly DerivedInput[];
  /** Of measures that have one result for the capture. */
  readonly results: Readonly<Record<string, unknown>>;
}

/**
 * Pass over some layers of a capture once, for all measures; on several threads where it is a folder.
 *
 * @param layers ascending; each tells its chosen experts.
 */
export async function scanCapture(
  capture: Capture,
  layers: readonly number[],
  asked: readonly Measure[],
  settings: ScanSettings,
  { threads, signal, onProgress }: ScanOptions,
): Promise<ScanFindings> {
  const measures = withSources(asked);
  const columns = columnsOf(capture);
  const scope = scanScope(capture.model, capture.samples, settings, (id) => capture.tokenText(id));
  const work = {
    measures,
    scope,
    columns,
    reader: readerOf(capture),
    ahead: prepared(measures, columns, scope),
  };
  const { origin } = capture;
  const onThreads = origin !== null && threads > 1;
  const schedule = new Schedule(layers, measures, scope.experts, (layer, kind) =>
    idColumn(work, layer, kind, onThreads),
  );
  const onDone = (done: number) => onProgress?.({ done, total: schedule.total });
  onDone(0);
  if (onThreads) await runOnThreads(work, origin, schedule, threads, { signal, onDone });
  else await runHere(work, schedule, { signal, onDone });
  return findings(asked, measures, layers, schedule.results(), work);
}

/** Room for the experts of a layer's rows: a byte each where that is enough. */
function idColumn(
  { scope, columns, reader }: ScanWork,
  layer: number,
  kind: string,
  shared: boolean,
): IdColumn {
  const length = columns.length * (kind === "best" ? 1 : idsPerRow(reader, scope, layer));
  const small = fitsByte(scope.experts);
  if (!shared) return small ? new Uint8Array(length) : new Uint16Array(length);
  return small
    ? new Uint8Array(new SharedArrayBuffer(length))
    : new Uint16Array(new SharedArrayBuffer(2 * length));
}

const idsPerRow = (reader: ScanWork["reader"], { topK }: ScanScope, layer: number) =>
  reader.has("expert_ids", layer) ? reader.width("expert_ids", layer) : topK;

/** The results of what was asked for, by name. */
function findings(
  asked: readonly Measure[],
  measures: readonly Measure[],
  layers: readonly number[],
  { layers: parts, groups }: ScanResults,
  { scope, ahead }: ScanWork,
): ScanFindings {
  const byLayer = layers.map((): Record<string, unknown> => ({}));
  const results: Record<string, unknown> = {};
  for (const measure of measures)
    if (measure.scope === "layer") {
      const made = parts.map((part) => part[measure.name]);
      const found = measure.across?.(made, scope) ?? made;
      found.forEach((result, i) => {
        byLayer[i]![measure.name] = result;
      });
    }
  const all = layers.map((layer, i) => ({ layer, results: byLayer[i]! }));
  for (const measure of asked) if (measure.scope !== "layer") results[measure.name] = whole(measure);
  const names = new Set(asked.map(({ name }) => name));
  return {
    layers: all.map(({ layer, results: of }) => ({
      layer,
      results: Object.fromEntries(Object.entries(of).filter(([name]) => names.has(name))),
    })),
    results,
  };

  function whole(measure: Exclude<Measure, { scope: "layer" }>): unknown {
    if (measure.scope === "derived") return measure.derive(all, scope);
    if (measure.scope === "layers") return measure.gather(groups.get(measure.name) ?? [], scope);
    const made = parts.map((part) => part[measure.name]);
    return measure.gather(made, { ...scope, ahead: ahead.get(measure.keeps) }, layers);
  }
}
