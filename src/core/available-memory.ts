import { readFileSync } from "node:fs";
import { freemem } from "node:os";
import { dirname, join } from "node:path";
import { smallest } from "./extremes.ts";

/**
 * Bytes that this process can still take: what the machine has left, and what its control groups (a container's
 * limits) have. Files in the page cache, such as a mapped model, count as free: they make room.
 *
 * @param root where the system's files are; for tests.
 */
export function availableMemory(root = "/", free = freemem()): number {
  return Math.min(free, smallest(controlGroups(root).map((folder) => leftIn(folder))));
}

/** Folders of the control groups that limit this process's memory: its own and those around it. */
function controlGroups(root: string): string[] {
  const lines = read(join(root, "proc/self/cgroup"))?.split("\n") ?? [];
  return lines.flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined || !(controllers === "" || controllers!.split(",").includes("memory"))) return [];
    const top = join(root, "sys/fs/cgroup", controllers === "" ? "" : "memory");
    // In a container the path may be the host's; what the container sees is at the top.
    const folders = [top];
    for (let at = path; at !== "/"; at = dirname(at)) folders.push(join(top, at));
    return folders;
  });
}

/** As version 2 of control groups names its files, or version 1. */
function leftIn(folder: string): number {
  const number = (...names: string[]) =>
    Number(names.map((name) => read(join(folder, name))).find(Boolean) ?? Number.NaN);
  const limit = number("memory.max", "memory.limit_in_bytes");
  const used = number("memory.current", "memory.usage_in_bytes");
  // No limit is the word "max".
  if (Number.isNaN(limit) || Number.isNaN(used)) return Number.POSITIVE_INFINITY;
  const files = /^(?:total_)?(?:file|cache) (\d+)$/m.exec(read(join(folder, "memory.stat")) ?? "");
  return Math.max(0, limit - used + Number(files?.[1] ?? 0));
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}
