import type { SampleInfo } from "../../core/sink.ts";

/** The samples by their label. */
export interface LabelGroups {
  /** In order of first appearance; `null` stands for samples without one. */
  readonly names: readonly (string | null)[];
  /** Per sample the index of its label. */
  readonly ofSample: Int32Array;
}

export function labelGroups(samples: readonly SampleInfo[]): LabelGroups {
  const index = new Map<string | null, number>();
  const ofSample = Int32Array.from(samples, ({ label }) => {
    if (!index.has(label)) index.set(label, index.size);
    return index.get(label)!;
  });
  return { names: [...index.keys()], ofSample };
}

/** The labels that have rows, and which one each sample has. */
export interface LabelledSamples {
  readonly labels: readonly string[];
  /** -1: no label, or no rows. */
  readonly labelOfSample: Int32Array;
}

/** @param sample of each row. */
export function labelledSamples(samples: readonly SampleInfo[], sample: Int32Array): LabelledSamples {
  const withRows = new Set(sample);
  const label = samples.map((of, i) => (withRows.has(i) ? of.label : null));
  const labels = [...new Set(label)].filter((name) => name !== null);
  const index = new Map(labels.map((name, i) => [name, i]));
  return { labels, labelOfSample: Int32Array.from(label, (name) => (name === null ? -1 : index.get(name)!)) };
}
