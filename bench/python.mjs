import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/**
 * A Python script that stays, so that its runs can take turns with ours: a line of JSON asks for one run and a line of
 * JSON answers. Packages: bench/requirements.txt.
 */
export function python(script, ...args) {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.env.MOESCOPE_BENCH_PYTHON ?? "python3", [path, ...args.map(String)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { done, value } = await lines.next();
    if (done)
      throw new Error(`${script} ended; has ${process.env.MOESCOPE_BENCH_PYTHON ?? "python3"} its packages?`);
    return JSON.parse(value);
  };
  return {
    ready: answer,
    ask: (what) => {
      child.stdin.write(`${JSON.stringify(what)}\n`);
      return answer();
    },
    close: () => child.stdin.end(),
  };
}
