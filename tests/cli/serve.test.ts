import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import { events } from "../server/serving.ts";
import { runCli } from "./run-cli.ts";

/** The program itself, as a person starts it. */
function start(args: readonly string[]) {
  const temporary = mkdtempSync(join(tmpdir(), "moescope-serve-"));
  const child = spawn(process.execPath, [join(packageRoot, "dist", "cli", "main.js"), "serve", ...args], {
    env: { ...process.env, TMPDIR: temporary },
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
    rmSync(temporary, { recursive: true, force: true });
  });
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const url = async () => {
    for (;;) {
      const found = /http:\/\/\S+/.exec(output)?.[0];
      if (found && output.includes("Ctrl-C")) return new URL(found);
      if (child.exitCode !== null) throw new Error(errors);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return { child, url, temporary, output: () => output, errors: () => errors };
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  child.kill(signal);
  const [code] = await once(child, "exit");
  return code;
}

describe("moescope serve", () => {
  it("serves the demo model without arguments and leaves nothing behind", async () => {
    const { child, url, temporary, output } = start(["--no-open", "--threads", "1"]);
    const { origin } = await url();
    expect(output()).toContain("demo-moe");
    expect(output()).toContain(`${origin}/v1`);
    const { models } = (await (await fetch(`${origin}/api/models`)).json()) as { models: { id: string }[] };
    expect(models.map(({ id }) => id)).toEqual(["demo-moe"]);
    const answer = await fetch(`${origin}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "import", max_tokens: 2 }),
    });
    expect(answer.status).toBe(200);
    expect(readdirSync(temporary).length).toBeGreaterThan(0);
    expect(await stop(child, "SIGTERM")).toBe(0);
    expect(readdirSync(temporary)).toEqual([]);
  });

  it("ends jobs that run when it is stopped, and keeps their rows", async () => {
    const folder = mkdtempSync(join(tmpdir(), "moescope-served-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const model = join(packageRoot, "models", "demo", "demo-moe.gguf");
    const { child, url, errors } = start([model, folder, "--no-open", "--port", "0", "--threads", "1"]);
    const { origin } = await url();
    const headers = { "content-type": "application/json" };
    const post = (path: string, body: object) =>
      fetch(origin + path, { method: "POST", headers, body: JSON.stringify(body) });
    await post("/api/captures", { prompts: [{ prompt: "The" }], maxTokens: 1000, name: "running" });
    const waiting = await post("/api/generate", { prompt: { prompt: "a" }, maxTokens: 5 });
    const live = await fetch(`${origin}/api/live`);
    let exit: Promise<number | null> | null = null;
    const ends: string[] = [];
    try {
      for await (const { event, data } of events(live)) {
        if (event === "tokens" && exit === null) exit = stop(child, "SIGINT");
        if (event === "end") ends.push(data.job.state);
      }
    } catch {
      // The server cut the connection off.
    }
    expect(await exit).toBe(0);
    expect(errors()).toContain("Stopping");
    expect(ends).toEqual(["cancelled", "cancelled"]);
    await waiting.body!.cancel();
    const capture = await openCapture(join(folder, "running"));
    expect(capture.complete).toBe(false);
    expect(capture.rows.length).toBeGreaterThan(0);
  });

  it("makes a token for an address that others reach", async () => {
    const { child, url } = start(["--no-open", "--host", "0.0.0.0", "--port", "0", "--threads", "1"]);
    const found = await url();
    const token = found.searchParams.get("token")!;
    expect(token.length).toBeGreaterThan(20);
    expect((await fetch(`${found.origin}/api/models`)).status).toBe(401);
    const bearer = { headers: { authorization: `Bearer ${token}` } };
    expect((await fetch(`${found.origin}/api/models`, bearer)).status).toBe(200);
    await stop(child, "SIGINT");
  });

  it("says what is wrong with its arguments", async () => {
    expect(await runCli(["serve", "--port", "70000"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("65535"),
    });
    const failed = await runCli(["serve", "model.gguf", "--no-open", "--host", "256.1.1.1"]);
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot listen on 256.1.1.1") });
    expect(failed.engine.closed).toBe(1);
  });
});
