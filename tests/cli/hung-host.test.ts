import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import { ggufOf } from "../fixtures/families.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-hung-"));
afterAll(() => rmSync(folder, { recursive: true }));
const prompts = join(folder, "many.txt");
writeFileSync(prompts, Array.from({ length: 400 }, () => "The router sent the experts away.").join("\n"));

/** Commands that have a model. */
const COMMANDS = {
  capture: ["capture", ggufOf("qwen3_moe"), "--prompts", prompts, "--max-tokens", "300"],
  serve: ["serve", ggufOf("qwen3_moe"), "--port", "0"],
};

/** What runs llama.cpp for a process. */
function hostOf(parent: number): number | null {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    try {
      const [, , , ppid] = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/\(.*\)/, "x")
        .split(" ");
      if (Number(ppid) === parent && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("process.cjs"))
        return Number(pid);
    } catch {
      // It ended meanwhile.
    }
  return null;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe.skipIf(process.platform !== "linux")("a host that hangs", () => {
  it.each([
    ["capture", ["SIGTERM"], 130, null],
    ["capture", ["SIGINT", "SIGINT"], null, "SIGINT"],
    ["serve", ["SIGTERM"], 0, null],
    ["serve", ["SIGTERM", "SIGTERM"], null, "SIGTERM"],
  ] as const)("in %s ends with %j", async (command, signals, code, signal) => {
    const child = spawn(process.execPath, [join(packageRoot, "dist/cli/main.js"), ...COMMANDS[command]], {
      stdio: "ignore",
    });
    const closed = once(child, "close");
    let host: number | null = null;
    await expect
      .poll(() => {
        host = hostOf(child.pid!);
        return host;
      })
      .not.toBe(null);
    await sleep(1500);
    // Nothing in there runs any more, as in native code that does not come back.
    process.kill(host!, "SIGSTOP");
    for (const each of signals) {
      child.kill(each);
      await sleep(200);
    }
    expect(await closed).toEqual([code, signal]);
    // Of a parent that is gone it hears when it goes on.
    if (isAlive(host!)) process.kill(host!, "SIGCONT");
    await expect.poll(() => isAlive(host!)).toBe(false);
  });
});
