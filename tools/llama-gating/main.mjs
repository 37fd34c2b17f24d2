// Writes src/gating/llama-cpp-rules.ts from llama.cpp's source.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readSource } from "./read-source.mjs";

const OUT = fileURLToPath(new URL("../../src/gating/llama-cpp-rules.ts", import.meta.url));

const { values } = parseArgs({ options: { "llama-cpp": { type: "string" } } });
if (!values["llama-cpp"]) {
  console.error(
    "usage: npm run gating-rules -- --llama-cpp DIR\n\n" +
      "DIR: the source of the llama.cpp that @node-llama-cpp/* was built from; fixtures/README.md says where it is.",
  );
  process.exit(2);
}
const { version, rules, calls, draft } = readSource(values["llama-cpp"]);
writeFileSync(
  OUT,
  `// Written by tools/llama-gating/main.mjs from llama.cpp's source; change that, not this.
import type { ArchitectureRule } from "./architecture-rule.ts";

/** The llama.cpp that was read. */
export const RULES_VERSION = "${version}";

/** The gating rule that llama.cpp's graph builders give each architecture that has experts. */
export const LLAMA_CPP_RULES: Readonly<Record<string, ArchitectureRule>> = ${JSON.stringify(rules)};
`,
);
execFileSync("npx", ["biome", "check", "--write", "--log-level=error", OUT], { stdio: "inherit" });
const unknown = Object.entries(rules).filter(([, { unknown }]) => unknown);
console.log(`${calls.length} calls of build_moe_ffn, ${Object.keys(rules).length} architectures`);
for (const [name, { unknown: why }] of unknown) console.log(`  not known: ${name}: ${why}`);
console.log(`  only drafts run (multi-token prediction): ${draft.join(", ")}`);
