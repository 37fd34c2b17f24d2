import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

/** The processes below one, from Linux's /proc. */
export function descendants(pid: number): number[] {
  const children = tasks(pid).flatMap((task) =>
    (read(`/proc/${pid}/task/${task}/children`) ?? "").trim().split(" ").filter(Boolean).map(Number),
  );
  return children.flatMap((child) => [child, ...descendants(child)]);
}

/** The plugin's workers below this process. */
export const workers = (): number[] =>
  descendants(process.pid).filter((pid) => read(`/proc/${pid}/cmdline`)?.includes("moescope_vllm.worker"));

/** Whether it runs; one that has ended and whose parent has not asked yet does not. */
export function alive(pid: number): boolean {
  const state = read(`/proc/${pid}/stat`)?.replace(/^.*\) /s, "")[0];
  return state !== undefined && state !== "Z";
}

/** The folders of rows files that a worker has made, wherever they lie. */
export const spools = (worker: number): string[] =>
  ["/dev/shm", tmpdir()].flatMap((root) =>
    readdirSync(root).filter((name) => name.startsWith(`moescope-${worker}-`)),
  );

/** Wait for something that is to become true soon. */
export async function soon(holds: () => boolean, seconds = 30): Promise<boolean> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(50)) if (holds()) return true;
  return holds();
}

function tasks(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // It has ended.
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
