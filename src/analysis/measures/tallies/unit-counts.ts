import { schema } from "../../../core/schema.ts";
import type { LabelGroups } from "../../rows/label-groups.ts";
import { CLUSTER_UNITS, type UsageSpread } from "../../statistics/cluster-interval.ts";
import { amounts, wholeNumber } from "./state-json.ts";

/** Use of experts by unit: a sample, or every 64th (of a label: 32nd) of many. Plain data that does not grow with rows. */
export interface UnitCounts {
  /** Unit of each sample; empty where none is counted. */
  readonly unitOf: Uint8Array;
  /** 1 for samples that have rows. */
  readonly seen: Uint8Array;
  /** Rows of each unit. */
  readonly rows: Uint32Array;
  /** `[units, experts]`. */
  readonly counts: Uint32Array;
  /** What was counted elsewhere; `null`: something of it is not known. */
  readonly before: UsageSpread | null;
}

/** Units of a label, of which there may be many. */
const LABEL_UNITS = 32;

/** Of all samples, and of those of each label. */
export function startUnits({ names, ofSample }: LabelGroups, experts: number) {
  const ordinals = new Uint32Array(names.length);
  const ofLabel = names.map(() => new Uint8Array(ofSample.length));
  const all = new Uint8Array(ofSample.length);
  ofSample.forEach((label, sample) => {
    all[sample] = sample % CLUSTER_UNITS;
    ofLabel[label]![sample] = ordinals[label]!++ % LABEL_UNITS;
  });
  return {
    spread: unitCounts(all, Math.min(CLUSTER_UNITS, ofSample.length), experts),
    spreadByLabel: names.map((_, label) =>
      unitCounts(ofLabel[label]!, Math.min(LABEL_UNITS, ordinals[label]!), experts),
    ),
  };
}

const unitCounts = (unitOf: Uint8Array, units: number, experts: number): UnitCounts => ({
  unitOf,
  seen: new Uint8Array(unitOf.length),
  rows: new Uint32Array(units),
  counts: new Uint32Array(units * experts),
  before: noSpread(experts),
});

const noSpread = (experts: number): UsageSpread => ({
  texts: 0,
  units: 0,
  nn: 0,
  cc: new Float64Array(experts),
  cn: new Float64Array(experts),
});

/** Units that are known by their sums alone; `null`: not at all. */
export const knownUnits = (before: UsageSpread | null): UnitCounts => ({
  unitOf: new Uint8Array(0),
  seen: new Uint8Array(0),
  rows: new Uint32Array(0),
  counts: new Uint32Array(0),
  before,
});

/** Count a row of a sample. @returns where the experts of its unit begin. */
export function addRow({ unitOf, seen, rows, counts }: UnitCounts, sample: number): number {
  const unit = unitOf[sample]!;
  seen[sample] = 1;
  rows[unit]!++;
  return (unit * counts.length) / rows.length;
}

export function spreadOf({ seen, rows, counts, before }: UnitCounts): UsageSpread | null {
  if (!before) return null;
  const cc = before.cc.slice();
  const cn = before.cn.slice();
  let { nn, units } = before;
  rows.forEach((n, unit) => {
    if (n === 0) return;
    units++;
    nn += n * n;
    for (let e = 0, at = unit * cc.length; e < cc.length; e++, at++) {
      cc[e]! += counts[at]! * counts[at]!;
      cn[e]! += counts[at]! * n;
    }
  });
  return { texts: before.texts + seen.reduce((sum, one) => sum + one, 0), units, nn, cc, cn };
}

/** Two runs have different texts. */
export function mergeUnits(a: UnitCounts, b: UnitCounts): UnitCounts {
  const [left, right] = [spreadOf(a), spreadOf(b)];
  if (!left || !right) return knownUnits(null);
  const sum = (x: Float64Array, y: Float64Array) => x.map((value, i) => value + y[i]!);
  return knownUnits({
    texts: left.texts + right.texts,
    units: left.units + right.units,
    nn: left.nn + right.nn,
    cc: sum(left.cc, right.cc),
    cn: sum(left.cn, right.cn),
  });
}

export const spreadToJson = (spread: UsageSpread | null) =>
  spread && { ...spread, cc: [...spread.cc], cn: [...spread.cn] };

/** Profiles of older versions have none. */
export const spreadFromJson = (experts: number) =>
  schema((z) =>
    z
      .object({
        texts: wholeNumber(),
        units: wholeNumber(),
        nn: z.number().nonnegative(),
        cc: amounts(experts),
        cn: amounts(experts),
      })
      .nullable()
      .default(null),
  )();
