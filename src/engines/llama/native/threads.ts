import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";

/** Weights (bytes) that occupy a thread: with less of them each, threads wait for one another longer than they compute. */
const BYTES_A_THREAD = 16 << 20;

/**
 * Threads that compute a model of `bytes` fastest: one a physical core, as llama.cpp's own default, and fewer for small
 * models. llama.cpp's threads meet after each operation, and spin until all are there: one too many, or one whose core
 * another program has, holds up all the others.
 */
export function defaultThreads(bytes: number): number {
  const useful = Math.max(1, Math.ceil(bytes / BYTES_A_THREAD));
  return Math.min(useful, physicalCores(), availableParallelism());
}

/** Linux tells which processors share a core; elsewhere each counts as one. */
function physicalCores(): number {
  try {
    const siblings = cpus().map((_, cpu) =>
      readFileSync(`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`, "utf8"),
    );
    return Math.max(1, new Set(siblings).size);
  } catch {
    return availableParallelism();
  }
}
