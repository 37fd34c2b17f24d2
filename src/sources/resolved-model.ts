/** How far a download is; bytes count all parts of a split model together, those already here included. */
export interface DownloadProgress {
  /** The file being downloaded, as the repository names it. */
  readonly file: string;
  readonly bytes: number;
  readonly total: number;
}

export interface ResolveOptions {
  /** Stops a download; what has arrived is kept, and the next call continues there. */
  readonly signal?: AbortSignal | undefined;
  /** Called for every piece that arrives, and never when nothing is downloaded. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Default: the process's. Read: `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `OLLAMA_MODELS`. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Default: the global one. */
  readonly fetch?: typeof fetch | undefined;
  /** The user's home folder. */
  readonly home?: string | undefined;
}

export interface ResolvedModel {
  /** A local GGUF file; the first part of a split model, with the others beside it. */
  readonly path: string;
  /** A reference that names this very file, so it says what was chosen: `hf:org/repo/model-Q4_K_M.gguf`. */
  readonly source: string;
  /** What belongs to the model where it lies, and is not used. */
  readonly notes?: readonly string[];
}
