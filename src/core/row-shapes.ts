import type { StreamName } from "./streams.ts";

/** Sizes of the axes behind `rows`, slowest first. `keys`: as many as the run's longest sample has tokens. */
export type RowShape = readonly (number | "keys")[];

/** Why a stream is not captured from a layer: what the computation has there cannot be shown to be it. */
export interface RefusedLayer {
  readonly refused: string;
}

/** Of streams, by layer what a row is, or why there is none. Layers that do not have a stream are left out. */
export type RowShapes = ReadonlyMap<StreamName, ReadonlyMap<number, RowShape | RefusedLayer>>;
