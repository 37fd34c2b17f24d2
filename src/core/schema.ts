import { createRequire } from "node:module";
import type { z } from "zod";

type Zod = typeof z;

/** What a schema accepts, once parsed. */
export type Parsed<S extends () => z.ZodType> = z.output<ReturnType<S>>;

const require = createRequire(import.meta.url);
let zod: Zod | undefined;

/**
 * A schema that is built when something is first checked with it: loading zod takes longer than all else that importing
 * moescope does, and who captures into memory never needs it. Not `import()`, as reading a reducer's JSON is synchronous.
 *
 * @example
 * const point = schema((z) => z.object({ x: z.number(), y: z.number() }));
 * point().parse({ x: 1, y: 2 });
 */
export function schema<S extends z.ZodType>(build: (z: Zod) => S): () => S {
  let built: S | undefined;
  return () => {
    zod ??= (require("zod") as { z: Zod }).z;
    built ??= build(zod);
    return built;
  };
}
