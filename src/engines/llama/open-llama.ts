import { EngineError } from "../../errors.ts";
import { checkAbi } from "./abi.ts";
import { bind, type Llama } from "./bindings.ts";
import type { LibraryFiles } from "./library.ts";

/**
 * Load the shared libraries into this thread and check that they are what `bindings.ts` describes.
 *
 * @throws EngineError `ENGINE_UNAVAILABLE` when a library cannot be loaded, `ENGINE_INCOMPATIBLE` when it is another
 * version or its layouts differ.
 */
export function openLlama(files: LibraryFiles): Llama {
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
  return llama;
}
