import type { Capture } from "../capture/capture.ts";
import { openCapture } from "../capture/folder/folder-source.ts";
import { type Edit, type EditRecord, editRecord, type RecordedRoutes } from "../core/edits.ts";
import type { Engine } from "../core/engine.ts";
import { RequestError } from "../core/errors.ts";
import type { ModelInfo } from "../core/model-info.ts";
import { type EditedSample, editedModel, planEdits } from "../core/plan-edits.ts";
import type { PlannedEdit } from "../core/planned-edit.ts";

/** The edits of a run and of its prompts, on their way to the engine. */
export class RunEdits {
  readonly #engine: Engine;
  readonly #run: readonly Edit[];
  /** Folders that replays name, opened once. */
  readonly #opened: ReadonlyMap<string, Capture>;
  /** Edits that do not depend on the sample, resolved once. */
  readonly #planned = new Map<Edit, PlannedEdit>();
  #ofRun: readonly PlannedEdit[] = [];

  private constructor(engine: Engine, run: readonly Edit[], opened: ReadonlyMap<string, Capture>) {
    this.#engine = engine;
    this.#run = run.map((edit) => withRoutes(edit, opened));
    this.#opened = opened;
  }

  /**
   * @param run the edits of all prompts.
   * @param own those of each prompt.
   * @throws RequestError for edits that cannot be made; CaptureError for a folder that cannot be replayed.
   */
  static async of(
    engine: Engine,
    run: readonly Edit[] = [],
    own: Iterable<readonly Edit[] | undefined>,
  ): Promise<RunEdits> {
    const folders = new Set<string>();
    for (const edit of run) if ("replay" in edit && typeof edit.replay === "string") folders.add(edit.replay);
    for (const edits of own) {
      for (const edit of edits ?? []) {
        if ("replay" in edit && typeof edit.replay === "string") folders.add(edit.replay);
        if ("topK" in edit)
          throw new RequestError(
            "INVALID_ARGUMENT",
            "topK is an edit of a whole run, as all rows of a capture have the same size; give it as an option of the run",
          );
      }
    }
    const opened = new Map<string, Capture>();
    for (const folder of folders) opened.set(folder, await openCapture(folder));
    return new RunEdits(engine, run, opened);
  }

  /** For the engine's request of one prompt, with its own edits. */
  ofSample(own: readonly Edit[] | undefined, sample: EditedSample): { edits?: readonly PlannedEdit[] } {
    const all = [...this.#run, ...(own ?? []).map((edit) => withRoutes(edit, this.#opened))];
    if (all.length === 0) return {};
    const { model, kind, edits: support } = this.#engine;
    const edits = planEdits({ model, engine: kind, support }, all, sample, this.#planned);
    this.#ofRun = edits.slice(0, this.#run.length);
    return { edits };
  }

  /** The model as the run uses it. */
  get model(): ModelInfo {
    return editedModel(this.#engine.model, this.#ofRun);
  }
}

function withRoutes(edit: Edit, opened: ReadonlyMap<string, Capture>): Edit {
  if (!("replay" in edit) || typeof edit.replay !== "string") return edit;
  return { ...edit, replay: opened.get(edit.replay)! };
}

/** Edits as a manifest holds them; absent where there are none. */
export function recordedEdits(edits: readonly Edit[] | undefined): { edits?: readonly EditRecord[] } {
  return edits && edits.length > 0 ? { edits: edits.map((edit) => editRecord(edit, folderOf)) } : {};
}

function folderOf(routes: RecordedRoutes): string | null {
  const { origin } = routes as Partial<Capture>;
  return origin && "folder" in origin ? origin.folder : null;
}
