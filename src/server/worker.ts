import { parentPort } from "node:worker_threads";
import type { AnalyzeProgress } from "../analysis/analyze.ts";
import { MoescopeError } from "../core/errors.ts";
import { Analyses } from "./analyses.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import type { CaptureSummary } from "./api/captures.ts";
import { OpenCaptures } from "./open-captures.ts";
import {
  atlasAnswer,
  balanceAnswer,
  coactivationAnswer,
  comparisonAnswer,
  layerAnswer,
  overviewAnswer,
  similarityAnswer,
  usageAnswer,
} from "./operations/analysis.ts";
import { describeAll, details } from "./operations/describe.ts";
import { expertTile } from "./operations/expert-map.ts";
import { RowMap } from "./operations/row-map.ts";
import { rowColumn, rowPage, streamRows, streamShape, vocabularyAnswer } from "./operations/rows.ts";
import { tokenAnswer } from "./operations/token.ts";
import type { Asked, QuestionName, Questions, Replied } from "./protocol.ts";

/** A thread that reads captures and computes, so that the one that answers clients never waits for either. */

const captures = new OpenCaptures();
const summaries = new Map<string, CaptureSummary>();
const rowMap = new RowMap();
const analyses = new Analyses();

type Progress = (progress: AnalyzeProgress) => void;

const answers: { [Q in QuestionName]: (question: Questions[Q], onProgress: Progress) => Promise<Answer> } = {
  list: async ({ found }) => describeAll(found, summaries),
  details: async ({ capture }) => details(await captures.get(capture)),
  rows: async ({ capture, query }) => rowPage(await captures.get(capture), query),
  column: async ({ capture, column }) => rowColumn(await captures.get(capture), column),
  vocabulary: async ({ capture }) => vocabularyAnswer(await captures.get(capture)),
  token: async ({ capture, row }) => tokenAnswer(await captures.get(capture), row),
  shape: async ({ capture, stream, layer }) =>
    jsonAnswer(streamShape(await captures.get(capture), stream, layer)),
  stream: async ({ capture, stream, layer, from, to }) =>
    streamRows(await captures.get(capture), stream, layer, from, to),
  mapFacts: async ({ capture }) => rowMap.facts(await captures.get(capture)),
  mapTile: async ({ capture, ...tile }) => rowMap.tile(await captures.get(capture), tile),
  expertTile: async ({ capture, layer, level, tile }) =>
    expertTile(await captures.get(capture), layer, level, tile),
  usage: async ({ capture, filter }) => usageAnswer(await captures.get(capture), filter),
  balance: async ({ capture, filter }) => balanceAnswer(await captures.get(capture), filter),
  coactivation: async ({ capture, layer }) => coactivationAnswer(await captures.get(capture), layer),
  similarity: async ({ capture, layer, expert }) =>
    similarityAnswer(await captures.get(capture), layer, expert),
  analysis: async ({ capture }, onProgress) =>
    overviewAnswer(await analyses.get(await captures.get(capture), onProgress)),
  analysisLayer: async ({ capture, layer }, onProgress) =>
    layerAnswer(await analyses.get(await captures.get(capture), onProgress), layer),
  atlas: async ({ capture }, onProgress) =>
    atlasAnswer(await analyses.get(await captures.get(capture), onProgress)),
  comparison: async ({ a, b }) => comparisonAnswer(await captures.get(a), await captures.get(b)),
};

parentPort!.on("message", async ({ id, name, question }: Asked) => {
  const reply = (message: Replied, transfer: ArrayBuffer[] = []) =>
    parentPort!.postMessage(message, transfer);
  try {
    const answer = await (answers[name] as (question: unknown, onProgress: Progress) => Promise<Answer>)(
      question,
      (progress) => reply({ id, progress }),
    );
    reply({ id, answer }, [answer.body.buffer]);
  } catch (error) {
    const { message } = error instanceof Error ? error : new Error(String(error));
    const known = error instanceof MoescopeError;
    reply({ id, error: { code: known ? error.code : null, message, retryable: known && error.retryable } });
  }
});
