import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** An executable file that runs a script in Node. */
export function fakeProgram(path: string, script: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/usr/bin/env node\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** A Python that answers the probe for vLLM. */
export const fakePython = (path: string, answer: object): string =>
  fakeProgram(path, `console.log(${JSON.stringify(JSON.stringify(answer))})`);
