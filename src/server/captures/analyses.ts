import type { AnalyzeProgress } from "../../analysis/analyze.ts";
import type { CaptureAnalysis } from "../../analysis/capture-analysis.ts";
import { keptAnalysis } from "../../views/facts/kept-analysis.ts";
import type { OpenedCapture } from "./open-captures.ts";

/** Analyses that are kept: several megabytes each for a large model. */
const MAX_KEPT = 8;

/** What was found in captures, each analysed once: what a command or a server before this one kept is read. */
class Analyses {
  readonly #kept = new Map<string, Promise<CaptureAnalysis>>();

  get(
    { found, capture }: OpenedCapture,
    onProgress?: (progress: AnalyzeProgress) => void,
  ): Promise<CaptureAnalysis> {
    const key = `${found.folder}\n${found.version}`;
    let analysis = this.#kept.get(key);
    if (!analysis) {
      analysis = keptAnalysis(capture, onProgress ? { onProgress } : {}).then(({ facts }) => facts);
      this.#kept.set(key, analysis);
      analysis.catch(() => this.#kept.delete(key));
      const [oldest] = this.#kept.keys();
      if (this.#kept.size > MAX_KEPT) this.#kept.delete(oldest!);
    }
    return analysis;
  }
}

/** Those of this thread: several questions are answered from one analysis. */
export const analyses = new Analyses();
