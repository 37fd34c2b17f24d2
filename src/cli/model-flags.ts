import type { LoadOptions } from "../load.ts";

/** The options of commands that load a model, parsed. */
export interface ModelFlags {
  readonly context?: number;
  readonly kvType?: "f32" | "f16" | "q8_0";
  readonly flashAttention: boolean;
  readonly threads?: number;
}

export function loadOptions({ context, kvType, threads, flashAttention }: ModelFlags): LoadOptions {
  return given({
    contextSize: context,
    kvType,
    threads,
    // Left to llama.cpp unless it was switched off.
    flashAttention: flashAttention ? undefined : false,
  });
}

/** The object without its undefined entries: options that were not given keep their defaults. */
export function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
