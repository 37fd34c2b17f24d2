import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";

/**
 * The layers of `src`, from the ground up: a module imports from its own layer and from those below. Those on one line
 * know nothing of each other. `docs/architecture.md` says what each is for.
 */
const LAYERS: readonly (readonly string[])[] = [
  ["core"],
  ["formats"],
  ["sources"],
  ["gating"],
  ["engines"],
  ["capture"],
  ["run"],
  ["analysis"],
  ["advice", "export"],
  ["hs"],
  ["views"],
  ["server"],
  ["cli"],
];

const sources = join(packageRoot, "src");
const modules = readdirSync(sources, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts"));
const imports = new Map(modules.map((module) => [module, importsOf(module)]));

/** Types count too: a cycle of types is a cycle of ideas. */
function importsOf(module: string): string[] {
  const text = readFileSync(join(sources, module), "utf8");
  return [...text.matchAll(/(?:\bfrom|\bimport\(|^import)\s*"(\.[^"]+)"/gm)].map(([, path]) =>
    posix.normalize(posix.join(dirname(module), path!)),
  );
}

const layerOf = (module: string) => LAYERS.findIndex((names) => names.includes(module.split("/")[0]!));

test("every module belongs to a layer, beside the entry points", () => {
  const outside = modules.filter((module) => layerOf(module) < 0);
  expect(outside.toSorted()).toEqual(["analysis.ts", "hs.ts", "index.ts"]);
});

test("a layer imports only from those below it", () => {
  const upward = [...imports].flatMap(([module, targets]) =>
    targets
      .filter((target) => {
        const [from, to] = [layerOf(module), layerOf(target)];
        const [fromName, toName] = [module, target].map((path) => path.split("/")[0]);
        return from >= 0 && (to < 0 || to > from || (to === from && fromName !== toName));
      })
      .map((target) => `${module} imports ${target}`),
  );
  expect(upward).toEqual([]);
});

test("no modules import each other in a circle", () => {
  expect(circles()).toEqual([]);
});

/** Strongly connected components of more than one module (Tarjan 1972). */
function circles(): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const onStack = new Set<string>();
  const found: string[][] = [];
  const visit = (module: string): void => {
    index.set(module, index.size);
    low.set(module, index.get(module)!);
    stack.push(module);
    onStack.add(module);
    for (const target of imports.get(module) ?? []) {
      if (!imports.has(target)) continue;
      if (!index.has(target)) visit(target);
      if (onStack.has(target)) low.set(module, Math.min(low.get(module)!, low.get(target)!));
    }
    if (low.get(module) !== index.get(module)) return;
    const component = stack.splice(stack.indexOf(module));
    for (const member of component) onStack.delete(member);
    if (component.length > 1) found.push(component.toSorted());
  };
  for (const module of modules) if (!index.has(module)) visit(module);
  return found;
}
