import { largest } from "../core/extremes.ts";
import type { CaptureAnalysis } from "./capture-analysis.ts";
import type { GroupUsage } from "./measures/tallies/group-usage.ts";
import { principalPlane } from "./statistics/linear/principal-plane.ts";

/** Experts as points in a plane. */
export interface ExpertAtlas {
  /** What an expert's mix is of: the samples' labels where there are two or more, else classes of tokens. */
  readonly by: "label" | "token class";
  readonly groups: readonly string[];
  /** Part of the variance that each axis of the plane shows. */
  readonly explained: readonly [number, number];
  /** Where an expert that serves this group alone would be. */
  readonly corners: readonly { readonly group: string; readonly x: number; readonly y: number }[];
  readonly points: readonly AtlasPoint[];
  /** Experts that served nothing and so have no place. */
  readonly dead: readonly { readonly layer: number; readonly expert: number }[];
}

export interface AtlasPoint {
  readonly layer: number;
  readonly expert: number;
  readonly x: number;
  readonly y: number;
  /** Its use over the fair share. */
  readonly timesFair: number;
  /** The group that is most of its mix, by index, and which part of the mix it is. */
  readonly group: number;
  readonly part: number;
  /** Whether it serves that group more than chance explains: q <= 0.05. */
  readonly significant: boolean;
}

const ALPHA = 0.05;

/**
 * Place every expert of every layer by what it serves: experts near each other serve a similar mix of groups.
 *
 * An expert's mix is its share of each group's rows, divided by their sum, so that large groups do not count more.
 * The plane is that of the first two principal components of the mixes' square roots, whose distance is Hellinger's
 * (Legendre and Gallagher, Oecologia 129, 2001).
 */
export function expertAtlas({
  layers,
  experts,
  fairShare,
}: CaptureAnalysis<"specialization" | "tokenClasses" | "usage">): ExpertAtlas {
  const byLabel = layers.every(({ specialization }) => specialization !== null);
  const usageOf = (layer: (typeof layers)[number]) => (byLabel ? layer.specialization : layer.tokenClasses);
  const groups = layers[0] ? (usageOf(layers[0])?.groups ?? []) : [];
  const found: Omit<AtlasPoint, "x" | "y">[] = [];
  const dead: { layer: number; expert: number }[] = [];
  const mixes: Float64Array[] = [];
  for (const layer of layers) {
    const usage = usageOf(layer);
    if (!usage) continue;
    for (let expert = 0; expert < experts; expert++) {
      const mix = mixOf(usage, expert);
      if (!mix) {
        dead.push({ layer: layer.layer, expert });
        continue;
      }
      const group = mix.indexOf(largest(mix));
      mixes.push(mix.map(Math.sqrt));
      found.push({
        layer: layer.layer,
        expert,
        timesFair: fairShare === 0 ? 0 : layer.usage.experts[expert]!.share / fairShare,
        group,
        part: mix[group]!,
        significant: usage.shares.qValues[group]![expert]! <= ALPHA,
      });
    }
  }
  const { project, explained } = principalPlane(mixes, groups.length);
  return {
    by: byLabel ? "label" : "token class",
    groups,
    explained,
    corners: groups.map((group, g) => {
      const [x, y] = project(Float64Array.from(groups, (_, other) => (other === g ? 1 : 0)));
      return { group, x, y };
    }),
    points: found.map((point, i) => {
      const [x, y] = project(mixes[i]!);
      return { ...point, x, y };
    }),
    dead,
  };
}

/** The expert's share of each group's rows, adding up to 1; `null` for one that served none. */
function mixOf({ counts, rows }: GroupUsage, expert: number): Float64Array | null {
  const shares = Float64Array.from(counts, (of, group) =>
    rows[group]! > 0 ? of[expert]! / rows[group]! : 0,
  );
  const sum = shares.reduce((total, share) => total + share, 0);
  return sum === 0 ? null : shares.map((share) => share / sum);
}
