import type { Hyperparameters } from "./gguf-hyperparameters.ts";

/**
 * Architectures without a cache that have both kinds of layers, those that see all tokens and those with a window: how
 * many of them follow each other where the file does not list them, and which kind comes first. llama.cpp fills a mask
 * for each kind, and asserts that a layer reads it.
 */
const WINDOWS: Readonly<Record<string, { readonly every: number; readonly fullFirst: boolean }>> = {
  "gemma-embedding": { every: 6, fullFirst: false },
  "modern-bert": { every: 3, fullFirst: true },
};

/** Architectures whose graph has windows whether or not the file switches them off. */
const ALWAYS = new Set(["afmoe", "llama4"]);

/** What is wrong with which layers see a window of the text only, or `null`. */
export function windowFault(of: Hyperparameters): string | null {
  const size = of.first("attention.sliding_window");
  if (size === 0 && ALWAYS.has(of.architecture))
    return `${of.key("attention.sliding_window")} is 0, and llama.cpp's graph of ${of.architecture} has windows`;
  return maskFault(of) ?? noneFault(of);
}

/** llama.cpp asserts that a window has a layer, of all architectures whose pattern it reads. */
function noneFault(of: Hyperparameters): string | null {
  const pattern = of.value("attention.sliding_window_pattern");
  // Llama 4 has them without a word.
  const windows = (of.first("attention.sliding_window") ?? 0) > 0 || of.architecture === "llama4";
  if (pattern === undefined || !windows) return null;
  const none = Array.isArray(pattern)
    ? !pattern.some((windowed) => Number(windowed) !== 0)
    : Number(pattern) === 1;
  return none ? `${of.key("attention.sliding_window_pattern")} leaves no layer with a window` : null;
}

/** Without a cache there is a mask for each kind of layer. */
function maskFault(of: Hyperparameters): string | null {
  const windows = WINDOWS[of.architecture];
  // Without a window there is one mask.
  if (!windows || !((of.first("attention.sliding_window") ?? 0) > 0 || of.architecture === "gemma-embedding"))
    return null;
  const layers = of.first("block_count")!;
  const listed = of.value("attention.sliding_window_pattern");
  const every = Array.isArray(listed) ? 0 : (of.first("attention.sliding_window_pattern") ?? windows.every);
  const isFull = (layer: number) => {
    if (Array.isArray(listed)) return !listed[layer];
    if (every === 0) return false;
    return windows.fullFirst ? layer % every === 0 : layer % every === every - 1;
  };
  const full = Array.from({ length: layers }, (_, layer) => isFull(layer)).filter(Boolean).length;
  if (full > 0 && full < layers) return null;
  return `${full === 0 ? "none" : "each"} of its ${layers} layers sees all tokens; llama.cpp needs some of either kind`;
}
