import type { Capture } from "../../capture/capture.ts";
import { openCapture } from "../../capture/folder/folder-source.ts";
import { type Manifest, readManifest } from "../../capture/folder/manifest.ts";
import { assertContained, type FoundCapture } from "./capture-folders.ts";

/** A capture that is open, with what its folder says beside the rows. */
export interface OpenedCapture {
  readonly found: FoundCapture;
  readonly capture: Capture;
  readonly manifest: Manifest;
  /** For {@link Capture.rows}'s texts: the tokens that occur, each once. */
  readonly vocabulary: ReadonlyMap<number, string>;
}

/** Memory that labels of open captures may take, in bytes: values are read from the disk and not counted. */
const MAX_OPEN_BYTES = 512 << 20;
/** Sample, position, token and phase of a row, with the order the rows are read in. */
const BYTES_A_ROW = 21;

/** Captures that are open, the ones used last: opening reads all labels. */
export class OpenCaptures {
  readonly #open = new Map<string, Promise<OpenedCapture>>();
  readonly #bytes = new Map<string, number>();

  async get(found: FoundCapture): Promise<OpenedCapture> {
    const key = `${found.folder}\n${found.version}`;
    let opening = this.#open.get(key);
    if (!opening) {
      opening = open(found);
      this.#open.set(key, opening);
      opening.then(
        ({ capture }) => this.#keep(key, capture.rows.length * BYTES_A_ROW),
        () => this.#open.delete(key),
      );
    }
    const opened = await opening;
    // The one used last goes to the end.
    if (this.#open.delete(key)) this.#open.set(key, opening);
    return opened;
  }

  #keep(key: string, bytes: number): void {
    this.#bytes.set(key, bytes);
    let total = [...this.#bytes.values()].reduce((sum, size) => sum + size, 0);
    for (const oldest of [...this.#open.keys()]) {
      if (total <= MAX_OPEN_BYTES || oldest === key) break;
      total -= this.#bytes.get(oldest) ?? 0;
      this.#bytes.delete(oldest);
      this.#open.delete(oldest);
    }
  }
}

async function open(found: FoundCapture): Promise<OpenedCapture> {
  await assertContained(found.folder, found.root);
  const [capture, manifest] = await Promise.all([openCapture(found.folder), readManifest(found.folder)]);
  return { found, capture, manifest, vocabulary: vocabularyOf(capture) };
}

function vocabularyOf(capture: Capture): Map<number, string> {
  const seen = new Map<number, number>();
  capture.rows.tokenId.forEach((id, row) => {
    if (!seen.has(id)) seen.set(id, row);
  });
  const { text } = capture.rows;
  return new Map([...seen].map(([id, row]) => [id, text[row]!]));
}
