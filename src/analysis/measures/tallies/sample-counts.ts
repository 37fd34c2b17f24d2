import type { Capture } from "../../../capture/capture.ts";
import { chosenExperts } from "../../scan/chosen.ts";

/** What keeps its choices together while labels are permuted: a sample, or a single row. */
export interface Units {
  /** Label index of each unit. */
  readonly label: Int32Array;
  /** Rows in each unit. */
  readonly rows: Uint32Array;
  /** Where each unit's entries begin in {@link experts} and {@link counts}; one more than there are units. */
  readonly offsets: Uint32Array;
  /** Experts the unit used ... */
  readonly experts: Uint16Array;
  /** ... and in how many of its rows. */
  readonly counts: Uint32Array;
}

/** The labels that have rows, and which one each sample has (-1: none). */
export function labelledSamples(capture: Capture): { labels: string[]; labelOfSample: Int32Array } {
  const withRows = new Set(capture.rows.sample);
  const label = capture.samples.map((sample, i) => (withRows.has(i) ? sample.label : null));
  const labels = [...new Set(label)].filter((name) => name !== null);
  return {
    labels,
    labelOfSample: Int32Array.from(label, (name) => (name === null ? -1 : labels.indexOf(name))),
  };
}

/** What one layer chose, per sample or per row; samples without a label are left out. */
export function unitsOf(
  capture: Capture,
  layer: number,
  labelOfSample: Int32Array,
  unit: "sample" | "row",
): Units {
  return unit === "sample"
    ? sampleUnits(capture, layer, labelOfSample)
    : rowUnits(capture, layer, labelOfSample);
}

function sampleUnits(capture: Capture, layer: number, labelOfSample: Int32Array): Units {
  const label: number[] = [];
  const rows: number[] = [];
  const offsets = [0];
  const experts: number[] = [];
  const counts: number[] = [];
  const current = new Uint32Array(capture.model.moe!.experts);
  // Rows are ordered by sample: a sample is complete when the next one begins.
  let open = -1;
  let length = 0;
  const finish = () => {
    if (open >= 0) {
      label.push(labelOfSample[open]!);
      rows.push(length);
      current.forEach((count, expert) => {
        if (count === 0) return;
        experts.push(expert);
        counts.push(count);
      });
      offsets.push(experts.length);
    }
    current.fill(0);
    length = 0;
  };
  for (const chunk of chosenExperts(capture, layer)) {
    const topK = chunk.ids.length / chunk.rows;
    for (let row = 0; row < chunk.rows; row++) {
      const sample = capture.rows.sample[chunk.from + row]!;
      if (labelOfSample[sample]! < 0) continue;
      if (sample !== open) {
        finish();
        open = sample;
      }
      length++;
      for (let i = row * topK; i < (row + 1) * topK; i++) current[chunk.ids[i]!]!++;
    }
  }
  finish();
  return {
    label: Int32Array.from(label),
    rows: Uint32Array.from(rows),
    offsets: Uint32Array.from(offsets),
    experts: Uint16Array.from(experts),
    counts: Uint32Array.from(counts),
  };
}

function rowUnits(capture: Capture, layer: number, labelOfSample: Int32Array): Units {
  const labelled = capture.rows.sample.reduce((n, sample) => n + (labelOfSample[sample]! < 0 ? 0 : 1), 0);
  const label = new Int32Array(labelled);
  let experts = new Uint16Array(0);
  let unit = 0;
  let topK = 0;
  for (const chunk of chosenExperts(capture, layer)) {
    topK = chunk.ids.length / chunk.rows;
    if (experts.length === 0) experts = new Uint16Array(labelled * topK);
    for (let row = 0; row < chunk.rows; row++) {
      const of = labelOfSample[capture.rows.sample[chunk.from + row]!]!;
      if (of < 0) continue;
      label[unit] = of;
      experts.set(chunk.ids.subarray(row * topK, (row + 1) * topK), unit * topK);
      unit++;
    }
  }
  return {
    label,
    rows: new Uint32Array(labelled).fill(1),
    offsets: Uint32Array.from({ length: labelled + 1 }, (_, i) => i * topK),
    experts,
    counts: new Uint32Array(experts.length).fill(1),
  };
}
