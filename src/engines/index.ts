import type { EngineEntry } from "./entry.ts";
import { llamaEntry } from "./llama/entry.ts";
import { vllmServerEntry } from "./vllm/server/entry.ts";
import { vllmEntry } from "./vllm/worker/entry.ts";

/** Every engine. The first runs what is nobody's own. */
export const ENGINES = [llamaEntry, vllmEntry, vllmServerEntry] as const;

type OptionsOf<Entry> = Entry extends EngineEntry<infer Options> ? Options : never;

/**
 * How to load a model: the options of one of the engines.
 *
 * @useDeclaredType
 */
export type LoadOptions = OptionsOf<(typeof ENGINES)[number]>;
