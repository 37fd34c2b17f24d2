import { abortSignal, callback, type Fields } from "../core/options.ts";
import type { DownloadProgress } from "./resolved-model.ts";

/** How to get at a model that is not a local file. */
export interface ReferenceOptions {
  /** Stops a download (what has arrived is kept) or the loading. */
  readonly signal?: AbortSignal;
  /** Called while a model is downloaded, and never when nothing is. */
  readonly onProgress?: (progress: DownloadProgress) => void;
}

/** The same, read strictly. */
export const referenceFields: Fields<ReferenceOptions> = {
  signal: abortSignal,
  onProgress: callback<(progress: DownloadProgress) => void>,
};
