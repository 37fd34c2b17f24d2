import { RequestError } from "../core/errors.ts";
import { largest } from "../core/extremes.ts";

/** How many places for experts there are, and where. */
export interface RankLayout {
  /** Physical experts of a layer, replicas included; a multiple of `ranks`. */
  readonly replicas: number;
  /** GPUs that share the experts; a multiple of `nodes`. */
  readonly ranks: number;
  /** Servers, within which ranks reach each other faster. Default 1. */
  readonly nodes?: number;
  /** Groups of neighbouring experts that routing keeps together (`n_group`); 1: none. Default 1. */
  readonly groups?: number;
}

/** Which expert lies in which place, by layer. Place p belongs to rank p / (replicas / ranks), rounded down. */
export interface RankPlacement {
  /** `[layers][replicas]`: the expert of each place. */
  readonly physicalToLogical: readonly (readonly number[])[];
  /** `[layers][experts][most replicas]`: the places of each expert, -1 for none. */
  readonly logicalToPhysical: readonly (readonly (readonly number[])[])[];
  /** `[layers][experts]`: places of each expert. */
  readonly replicaCounts: readonly (readonly number[])[];
}

/**
 * Place the experts of each layer on ranks so that loads are even: groups of experts are packed into nodes, the busiest
 * experts of a node get replicas, and the replicas of a node are packed into its ranks. Where the groups cannot be divided
 * among the nodes, all ranks are taken as one node.
 *
 * Source: DeepSeek's EPLB, `rebalance_experts` (github.com/deepseek-ai/EPLB), whose maps these are, number for number;
 * vLLM and SGLang have copies of it. Loads are in single precision as there; of equal loads the lower index comes first.
 *
 * @param loads `[layers][experts]`: tokens that each expert served.
 * @throws RequestError `INVALID_ARGUMENT` for a layout that does not divide.
 * @example
 * import { rebalanceExperts } from "moescope";
 * import { expertUsage } from "moescope/analysis";
 * const loads = [...expertUsage(capture).layers.values()].map(({ counts }) => counts);
 * const { physicalToLogical } = rebalanceExperts(loads, { replicas: 160, ranks: 32, nodes: 4 });
 * console.log(physicalToLogical[0]); // the expert of each place in the first MoE layer
 */
export function rebalanceExperts(loads: readonly ArrayLike<number>[], layout: RankLayout): RankPlacement {
  const { replicas, ranks, nodes = 1, groups = 1 } = layout;
  const experts = loads[0]?.length ?? 0;
  checkLayout(experts, { replicas, ranks, nodes, groups });
  const byNode = groups % nodes === 0;
  const layers = loads.map((load) =>
    placeLayer(Float32Array.from(load), replicas, byNode ? groups : 1, byNode ? nodes : 1, ranks),
  );
  const most = Math.max(1, largest(layers.map(({ counts }) => largest(counts))));
  return {
    physicalToLogical: layers.map(({ places }) => places.map(({ expert }) => expert)),
    logicalToPhysical: layers.map(({ places }) => {
      const of = Array.from({ length: experts }, () => new Array<number>(most).fill(-1));
      places.forEach(({ expert, replica }, place) => {
        of[expert]![replica] = place;
      });
      return of;
    }),
    replicaCounts: layers.map(({ counts }) => counts),
  };
}

interface Place {
  readonly expert: number;
  /** Which of the expert's replicas. */
  readonly replica: number;
}

function placeLayer(load: Float32Array, replicas: number, groups: number, nodes: number, ranks: number) {
  const experts = load.length;
  const groupSize = experts / groups;
  const groupLoads = Float32Array.from({ length: groups }, (_, group) =>
    load.subarray(group * groupSize, (group + 1) * groupSize).reduce((sum, n) => Math.fround(sum + n), 0),
  );
  const counts = new Array<number>(experts).fill(0);
  const places: Place[] = [];
  for (const members of packed(groupLoads, nodes)) {
    const ofNode = members.flatMap((group) =>
      Array.from({ length: groupSize }, (_, i) => group * groupSize + i),
    );
    const replicated = replicate(
      ofNode.map((expert) => load[expert]!),
      replicas / nodes,
    );
    for (const { expert } of replicated) counts[ofNode[expert]!]!++;
    const each = Float32Array.from(
      replicated,
      ({ expert }) => load[ofNode[expert]!]! / counts[ofNode[expert]!]!,
    );
    for (const onRank of packed(each, ranks / nodes))
      for (const i of onRank) {
        const { expert, replica } = replicated[i]!;
        places.push({ expert: ofNode[expert]!, replica });
      }
  }
  return { places, counts };
}

/** Pack items into so many packs of the same number of items, their weights as even as a greedy choice makes them. */
function packed(weights: Float32Array, packs: number): number[][] {
  const perPack = weights.length / packs;
  if (perPack === 1) return Array.from(weights, (_, item) => [item]);
  const found = Array.from({ length: packs }, (): number[] => []);
  const sums = new Float32Array(packs);
  const order = Array.from(weights, (_, item) => item).sort((a, b) => weights[b]! - weights[a]! || a - b);
  for (const item of order) {
    let lightest = -1;
    for (let pack = 0; pack < packs; pack++)
      if (found[pack]!.length < perPack && (lightest < 0 || sums[pack]! < sums[lightest]!)) lightest = pack;
    found[lightest]!.push(item);
    sums[lightest]! += weights[item]!;
  }
  return found;
}

/** Each once, then one more of the one whose replicas have most to do. */
function replicate(loads: readonly number[], replicas: number): Place[] {
  const places = loads.map((_, expert): Place => ({ expert, replica: 0 }));
  const counts = loads.map(() => 1);
  while (places.length < replicas) {
    let busiest = 0;
    let most = -1;
    loads.forEach((load, expert) => {
      const each = Math.fround(load / counts[expert]!);
      if (each > most) {
        most = each;
        busiest = expert;
      }
    });
    places.push({ expert: busiest, replica: counts[busiest]! });
    counts[busiest]!++;
  }
  return places;
}

function checkLayout(experts: number, { replicas, ranks, nodes, groups }: Required<RankLayout>): void {
  const refuse = (message: string): never => {
    throw new RequestError("INVALID_ARGUMENT", message);
  };
  for (const [name, n] of Object.entries({ replicas, ranks, nodes, groups }))
    if (!Number.isInteger(n) || n < 1) refuse(`${name} must be a whole number from 1, got ${n}`);
  if (ranks % nodes !== 0) refuse(`${ranks} ranks cannot be divided among ${nodes} nodes`);
  if (replicas % ranks !== 0)
    refuse(`${replicas} physical experts cannot be divided among ${ranks} ranks; a multiple of ${ranks} can`);
  if (replicas < experts)
    refuse(`${replicas} places are too few for ${experts} experts: each must lie somewhere`);
  if (groups % nodes === 0 && experts % groups !== 0)
    refuse(`${experts} experts cannot be divided into ${groups} groups`);
}
