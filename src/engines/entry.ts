import type { Engine } from "../core/engine.ts";
import type { Flag, OptionFlag } from "./flag.ts";

/**
 * How a reference suits an engine: `own`, what nobody else runs, and what is run here unless another engine is asked
 * for; `possible`, what is run here if this engine is asked for, or is the first; words, why it cannot be run here;
 * `null`, what has nothing to do with it.
 */
export type Fit = "own" | "possible" | { readonly refused: string } | null;

/** How far loading is. */
interface LoadProgress {
  readonly text: string;
  /** Of how much, where that is known. */
  readonly bytes?: { readonly done: number; readonly total: number };
}

/** What texts may be made with that the layers above have. */
export interface Wording {
  /** `16.2 MB`. */
  bytes(n: number): string;
}

/** A fact of a diagnosis. */
export interface DiagnosisLine {
  /** What it is about; empty: as the line before. */
  readonly name: string;
  /** `ok`, something that is missing and need not be there, something that is broken; a bare fact has no mark. */
  readonly mark: "ok" | "absent" | "broken" | null;
  readonly text: string;
}

/** How an engine tells what is installed and what works. */
export interface EngineDoctor<Found = unknown> {
  /** The key in the JSON of `moescope doctor --json`. */
  readonly key: string;
  /** Never rejects: what is wrong is found, too. */
  examine(): Promise<Found>;
  describe(found: Found, wording: Wording): readonly DiagnosisLine[];
}

/** What is going to be installed, once people have agreed. */
interface Installation {
  /** What it is, how large, and where to. */
  readonly lines: readonly string[];
  install(signal: AbortSignal): Promise<void>;
  /** A command to go on with. */
  readonly next: string;
}

/** How an engine is installed. */
export interface EngineSetup {
  readonly flags: readonly Flag[];
  /**
   * Find out what an installation takes; nothing is installed.
   *
   * @param flags as they were given, by name.
   * @param surroundings.note tells people what takes long.
   * @throws RequestError for flags that do not go together; EngineError where it cannot be installed.
   */
  plan(
    flags: Readonly<Record<string, unknown>>,
    surroundings: Wording & { readonly signal: AbortSignal; note(text: string): void },
  ): Promise<Installation>;
}

/**
 * An engine, as the library and the command line know it. One file an engine, and a line in `index.ts`; what it takes
 * to run is imported when it is used.
 */
export interface EngineEntry<Options extends object = object> {
  /** What people ask for: the option `engine`, `--engine`. Entries of one engine that is reached in several ways share it. */
  readonly name: string;
  /** Who has nothing to do with an option, in messages: `a server that is running`. */
  readonly title: string;
  /** What its models are called, for the help. */
  readonly references: string;
  accepts(reference: string): Fit;
  /** Reads the options of `load` strictly: what it does not know is an error that says what was meant. */
  options(): Promise<(given: object) => Options>;
  /** The options that the command line has. */
  readonly flags: readonly OptionFlag<Options>[];
  /** @throws ModelError, EngineError; RequestError for an option that does not fit the model; the signal's reason. */
  load(reference: string, options: Options): Promise<Engine>;
  /** What the command line says while it loads. */
  readonly loading: string;
  /** The options that show how far loading is. */
  watch?(tell: (progress: LoadProgress) => void): Partial<Options>;
  /** Absent: there is nothing to install, or another entry of the engine tells. */
  readonly doctor?: EngineDoctor;
  readonly setup?: EngineSetup;
}
