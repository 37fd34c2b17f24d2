import type { LayerFindings } from "../analyze-layer.ts";
import type { StandOutExpert } from "../capture-analysis.ts";
import type { Drift, GroupUsage, LayerAnalysis } from "../layer-analysis.ts";
import { benjaminiHochberg } from "../statistics/benjamini-hochberg.ts";
import type { LayerTest } from "../statistics/randomization/permutation-test.ts";

/** Accepted part of false ones among the stand-outs. */
const ALPHA = 0.05;

/** What was found layer by layer, with q-values over all layers. */
export function withQValues(findings: readonly LayerFindings[], labels: readonly string[]): LayerAnalysis[] {
  const specialization = groupUsages(
    findings.map(
      ({ labels: test }) =>
        test && {
          names: labels,
          rows: test.rows,
          counts: test.counts,
          test,
          testedRows: test.rows.reduce((sum, n) => sum + n, 0),
        },
    ),
  );
  const tokenClasses = groupUsages(
    findings.map(({ tokenClasses: of }) => of && { ...of.counts, test: of.test, testedRows: of.testedRows }),
  );
  const positions = drifts(findings.map((found) => found.positions));
  const phases = drifts(findings.map((found) => found.phases));
  return findings.map(({ analysis }, i) => ({
    ...analysis,
    specialization: specialization[i]!,
    tokenClasses: tokenClasses[i]!,
    positions: positions[i]!,
    phases: phases[i]!,
  }));
}

/** Groups of rows in one layer, all their rows counted, some tested. */
interface TestedUsage {
  readonly names: readonly string[];
  readonly rows: Float64Array;
  /** `[groups, experts]`. */
  readonly counts: Float64Array;
  readonly test: LayerTest;
  readonly testedRows: number;
}

function groupUsages(layers: readonly (TestedUsage | null)[]): (GroupUsage | null)[] {
  const qValues = (of: (test: LayerTest) => Float64Array) =>
    chunked(
      benjaminiHochberg(layers.flatMap((layer) => (layer ? [...of(layer.test)] : []))),
      layers.map((layer) => (layer ? of(layer.test).length : 0)),
    );
  const expertQ = qValues(({ experts }) => experts.pValues);
  const shareQ = qValues(({ shares }) => shares.pValues);
  return layers.map((found, i): GroupUsage | null => {
    if (!found) return null;
    const { names, rows, counts, testedRows } = found;
    const { layer, experts, shares } = found.test;
    const byGroup = (values: Float64Array) =>
      chunked(
        values,
        names.map(() => experts.observed.length),
      );
    return {
      groups: names,
      rows: [...rows],
      counts: byGroup(counts),
      mutualInformation: layer.observed[0]!,
      chanceInformation: layer.chance[0]!,
      pValue: layer.pValues[0]!,
      experts: {
        mutualInformation: [...experts.observed],
        chanceInformation: [...experts.chance],
        pValues: [...experts.pValues],
        qValues: expertQ[i]!,
      },
      shares: { pValues: byGroup(shares.pValues), qValues: byGroup(Float64Array.from(shareQ[i]!)) },
      testedRows,
    };
  });
}

function drifts(layers: readonly (LayerFindings["positions"] | null)[]): (Drift | null)[] {
  const qValues = chunked(
    benjaminiHochberg(layers.flatMap((layer) => (layer ? [...layer.test.groups.pValues] : []))),
    layers.map((layer) => layer?.counts.names.length ?? 0),
  );
  return layers.map((found, i): Drift | null => {
    if (!found) return null;
    const { names, rows, counts, entropy } = found.counts;
    const { whole, groups } = found.test;
    const experts = counts.length / names.length;
    return {
      groups: names.map((name, g) => ({
        name,
        rows: rows[g]!,
        counts: [...counts.subarray(g * experts, (g + 1) * experts)],
        entropy: entropy[g]!,
        divergence: groups.observed[g]!,
        chanceDivergence: groups.chance[g]!,
        pValue: groups.pValues[g]!,
        qValue: qValues[i]![g]!,
      })),
      mutualInformation: whole.observed[0]!,
      chanceInformation: whole.chance[0]!,
      pValue: whole.pValues[0]!,
      testedRows: found.testedRows,
    };
  });
}

/** Values in pieces of the given lengths. */
function chunked(values: Float64Array, lengths: readonly number[]): number[][] {
  let at = 0;
  return lengths.map((length) => {
    at += length;
    return [...values.subarray(at - length, at)];
  });
}

/** The (layer, expert, label) above the fair share and beyond chance, the farthest above first; as `standOuts`. */
export function standOutExperts(layers: readonly LayerAnalysis[], fairShare: number): StandOutExpert[] {
  return layers
    .flatMap(({ layer, specialization: found }) =>
      (found?.groups ?? []).flatMap((label, group) =>
        found!.counts[group]!.map((count, expert): StandOutExpert => {
          const share = count / found!.rows[group]!;
          return {
            layer,
            expert,
            label,
            count,
            share,
            timesFair: share / fairShare,
            pValue: found!.shares.pValues[group]![expert]!,
            qValue: found!.shares.qValues[group]![expert]!,
          };
        }),
      ),
    )
    .filter(({ timesFair, qValue }) => timesFair > 1 && qValue <= ALPHA)
    .sort((a, b) => b.timesFair - a.timesFair || a.layer - b.layer || a.expert - b.expert);
}
