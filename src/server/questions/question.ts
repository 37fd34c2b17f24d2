import type { z } from "zod";
import type { AnalyzeProgress } from "../../analysis/analyze.ts";
import type { Values } from "../captures/answer.ts";
import type { FoundCapture } from "../captures/capture-folders.ts";
import type { OpenedCapture } from "../captures/open-captures.ts";
import type { Declaration, JsonTold, ValuesTold } from "../host/declaration.ts";
import { type CaptureId, captureId } from "../host/schemas.ts";

/** What a question is answered from: as it was asked, its captures opened. */
export type Opened<T> = { readonly [K in keyof T]: T[K] extends CaptureId ? OpenedCapture : T[K] };

/** What is there beside the captures that were asked about. */
interface Around {
  /** Every capture there is, for a question about all of them. */
  readonly found: readonly FoundCapture[];
  readonly onProgress: (progress: AnalyzeProgress) => void;
}

type Found<T> = T extends JsonTold<infer J> ? J : Values;

/**
 * A question about captures: everything that the server, its description, the thread that answers and the explorer
 * need to know of it. A new one is a file like those beside this one and a line in `index.ts`.
 */
export interface Question<
  P extends string = string,
  A extends z.ZodObject = z.ZodObject,
  T extends JsonTold | ValuesTold = JsonTold | ValuesTold,
> extends Omit<Declaration<"get", P, A, z.ZodType, T>, "method" | "body" | "asked"> {
  /** Fields that are a `captureId` arrive at `find` as open captures. */
  readonly asked: A;
  /** Whether it is about all captures, and changes with them. */
  readonly aboutAll?: boolean;
  /** Runs in a thread of its own. */
  find(asked: Opened<z.output<A>>, around: Around): Found<T> | Promise<Found<T>>;
}

export const question = <const P extends string, A extends z.ZodObject, T extends JsonTold | ValuesTold>(
  declared: Question<P, A, T>,
): Question<P, A, T> => declared;

/** Which of the fields name captures. */
export const captureFields = ({ asked }: Question): string[] =>
  Object.keys(asked.shape).filter((name) => asked.shape[name] === captureId);
