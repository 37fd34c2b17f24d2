import type { GroupMeasure, Measure } from "../measures/measure.ts";
import type { IdColumn, KeptIds, LayerParts } from "./scan-layer.ts";

/** A part of a scan that somebody can do now. Plain data, as are the results: both cross threads. */
export type ScanTask =
  | { readonly kind: "layer"; readonly layer: number; readonly kept: KeptIds }
  | {
      readonly kind: "group";
      readonly measure: string;
      readonly group: readonly number[];
      readonly experts: readonly IdColumn[];
    };

export interface ScanResults {
  readonly layers: readonly LayerParts[];
  /** By measure, in order of its groups. */
  readonly groups: ReadonlyMap<string, readonly unknown[]>;
}

type Kind = GroupMeasure["keeps"];

interface Group {
  readonly measure: GroupMeasure;
  readonly index: number;
  readonly layers: readonly number[];
  state: "waiting" | "given" | "done";
}

/**
 * The parts of a scan in the order they can be done in: layers one after the other, and a group as soon as all its
 * layers were scanned, so that what is kept of them can go.
 */
export class Schedule {
  readonly total: number;
  readonly #layers: readonly number[];
  readonly #groups: readonly Group[];
  readonly #allocate: (layer: number, kind: Kind) => IdColumn;
  readonly #columns = new Map<string, IdColumn>();
  readonly #parts = new Map<number, LayerParts>();
  readonly #found = new Map<string, unknown[]>();
  #next = 0;
  #done = 0;

  /** @param allocate room for the experts of a layer's rows. */
  constructor(
    layers: readonly number[],
    measures: readonly Measure[],
    experts: number,
    allocate: (layer: number, kind: Kind) => IdColumn,
  ) {
    this.#layers = layers;
    this.#groups = measures.flatMap((measure) =>
      measure.scope === "layers"
        ? measure
            .groups(layers, experts)
            .map((group, index): Group => ({ measure, index, layers: group, state: "waiting" }))
        : [],
    );
    this.#allocate = allocate;
    this.total = layers.length + this.#groups.length;
    for (const { measure } of this.#groups) this.#found.set(measure.name, []);
  }

  /** Parts that are done. */
  get done(): number {
    return this.#done;
  }

  /** What can be begun now; `null`: nothing, or nothing until something else is done. */
  next(): ScanTask | null {
    const ready = this.#groups.find(
      ({ state, layers }) => state === "waiting" && layers.every((layer) => this.#parts.has(layer)),
    );
    if (ready) {
      ready.state = "given";
      const { measure, layers } = ready;
      const experts = layers.map((layer) => this.#columns.get(`${measure.keeps} ${layer}`)!);
      return { kind: "group", measure: measure.name, group: layers, experts };
    }
    const layer = this.#layers[this.#next];
    if (layer === undefined) return null;
    this.#next++;
    return {
      kind: "layer",
      layer,
      kept: { chosen: this.#keep(layer, "chosen"), best: this.#keep(layer, "best") },
    };
  }

  finish(task: ScanTask, result: unknown): void {
    this.#done++;
    if (task.kind === "layer") this.#parts.set(task.layer, result as LayerParts);
    else {
      const group = this.#groups.find(
        ({ measure, layers }) => measure.name === task.measure && layers === task.group,
      )!;
      group.state = "done";
      this.#found.get(task.measure)![group.index] = result;
      for (const layer of group.layers)
        if (!this.#needed(layer, group.measure.keeps))
          this.#columns.delete(`${group.measure.keeps} ${layer}`);
    }
  }

  results(): ScanResults {
    return { layers: this.#layers.map((layer) => this.#parts.get(layer)!), groups: this.#found };
  }

  #needed = (layer: number, kind: Kind) =>
    this.#groups.some(
      ({ measure, layers, state }) => measure.keeps === kind && state !== "done" && layers.includes(layer),
    );

  #keep(layer: number, kind: Kind): IdColumn | null {
    if (!this.#needed(layer, kind)) return null;
    const column = this.#allocate(layer, kind);
    this.#columns.set(`${kind} ${layer}`, column);
    return column;
  }
}
