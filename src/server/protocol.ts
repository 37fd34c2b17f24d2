import type { AnalyzeProgress } from "../analysis/analyze.ts";
import type { StreamName } from "../core/streams.ts";
import type { Answer } from "./answer.ts";
import type { RowFilter } from "./api/values.ts";
import type { FoundCapture } from "./capture-folders.ts";
import type { TileQuestion } from "./operations/row-map.ts";
import type { RowColumn, RowsQuery } from "./operations/rows.ts";

/** What may be asked of captures: what each question needs to know. */
export interface Questions {
  list: { readonly found: readonly FoundCapture[] };
  details: { readonly capture: FoundCapture };
  rows: { readonly capture: FoundCapture; readonly query: RowsQuery };
  column: { readonly capture: FoundCapture; readonly column: RowColumn };
  token: { readonly capture: FoundCapture; readonly row: number };
  vocabulary: { readonly capture: FoundCapture };
  shape: { readonly capture: FoundCapture; readonly stream: StreamName; readonly layer: number };
  stream: {
    readonly capture: FoundCapture;
    readonly stream: StreamName;
    readonly layer: number;
    readonly from: number;
    readonly to: number;
  };
  mapFacts: { readonly capture: FoundCapture };
  mapTile: TileQuestion & { readonly capture: FoundCapture };
  expertTile: {
    readonly capture: FoundCapture;
    readonly layer: number;
    readonly level: number;
    readonly tile: number;
  };
  usage: { readonly capture: FoundCapture; readonly filter: RowFilter };
  balance: { readonly capture: FoundCapture; readonly filter: RowFilter };
  coactivation: { readonly capture: FoundCapture; readonly layer: number };
  similarity: { readonly capture: FoundCapture; readonly layer: number; readonly expert: number };
  analysis: { readonly capture: FoundCapture };
  analysisLayer: { readonly capture: FoundCapture; readonly layer: number };
  atlas: { readonly capture: FoundCapture };
  comparison: { readonly a: FoundCapture; readonly b: FoundCapture };
}

export type QuestionName = keyof Questions;

/** A question on its way to a worker. */
export interface Asked<Q extends QuestionName = QuestionName> {
  readonly id: number;
  readonly name: Q;
  readonly question: Questions[Q];
}

/** What comes back; an error as its fields, which cross threads where classes do not. */
export type Replied = { readonly id: number } & (
  | { readonly progress: AnalyzeProgress }
  | { readonly answer: Answer }
  | {
      readonly error: { readonly code: string | null; readonly message: string; readonly retryable: boolean };
    }
);
