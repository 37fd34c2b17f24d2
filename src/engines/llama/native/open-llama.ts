import { EngineError } from "../../../core/errors.ts";
import { checkAbi } from "./abi.ts";
import { bind, type Llama } from "./bindings.ts";
import type { LibraryFiles } from "./library.ts";

/** The bindings of this thread, by folder: koffi keeps what it made of a function for as long as the thread lives. */
const opened = new Map<string, Llama>();

/**
 * Load the shared libraries into this thread and check that they are what `bindings.ts` describes.
 *
 * @throws EngineError `ENGINE_UNAVAILABLE` when a library cannot be loaded, `ENGINE_INCOMPATIBLE` when it is another
 * version or its layouts differ.
 */
export function openLlama(files: LibraryFiles): Llama {
  const known = opened.get(files.folder);
  if (known) return known;
  let llama: Llama;
  try {
    llama = bind(files);
  } catch (cause) {
    const message = (cause as Error).message;
    const missing = /symbol|function/i.test(message);
    throw new EngineError(
      missing ? "ENGINE_INCOMPATIBLE" : "ENGINE_UNAVAILABLE",
      `llama.cpp in ${files.folder} ${missing ? "lacks a function" : "cannot be loaded"}: ${message}`,
      { cause },
    );
  }
  checkAbi(llama, files);
  opened.set(files.folder, llama);
  return llama;
}
