import koffi from "koffi";

let trim: (() => void) | undefined;

/** Give memory that was freed back to the system, where the C library (glibc) would keep it for this process. */
export function returnFreedMemory(): void {
  trim ??= findTrim();
  trim();
}

function findTrim(): () => void {
  try {
    const libc = koffi.load("libc.so.6");
    const mallocTrim = libc.func("malloc_trim", "int", ["size_t"]) as (keep: number) => number;
    return () => void mallocTrim(0);
  } catch {
    // Another system, or musl: theirs return it themselves.
    return () => {};
  }
}
