import { totalmem } from "node:os";

/**
 * Bytes of memory a container (cgroup v1 or v2) lets this process have, or `null` where it is as much as the machine has.
 * Without a limit the kernel names a number beyond all memory, and Node 0 where it cannot tell.
 */
export function memoryLimit(
  constrained = process.constrainedMemory?.() ?? 0,
  total = totalmem(),
): number | null {
  return constrained > 0 && constrained < total ? constrained : null;
}
