import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  diagnoseVllm,
  findPython,
  interpreterOf,
  managedFolder,
} from "../../src/engines/vllm/install/python.ts";
import { fakeProgram, fakePython } from "./fake-program.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-python-"));
afterAll(() => rmSync(folder, { recursive: true }));

const answer = { python: "3.12.3", vllm: "0.32.0", torch: "2.13.0+cpu", build: "cpu" };
const found = { pythonVersion: "3.12.3", vllm: "0.32.0", torch: "2.13.0+cpu", build: "cpu" };

describe.skipIf(process.platform === "win32")("the Python that has vLLM", () => {
  const named = fakePython(join(folder, "named"), answer);
  const other = fakePython(join(folder, "other"), answer);

  it("is the one that is named, else MOESCOPE_PYTHON, else our own, for a GPU first", async () => {
    const home = join(folder, "home");
    const env = { MOESCOPE_PYTHON: other };
    expect(await findPython({ python: named, env, home })).toEqual({
      ...found,
      python: named,
      origin: "option",
    });
    expect(await findPython({ env, home })).toEqual({ ...found, python: other, origin: "MOESCOPE_PYTHON" });
    await expect(findPython({ env: {}, home })).rejects.toMatchObject({
      code: "ENGINE_UNAVAILABLE",
      message: expect.stringContaining("moescope setup vllm"),
    });
    const cpu = fakePython(interpreterOf(managedFolder("cpu", {}, home)), answer);
    expect(await findPython({ env: {}, home })).toEqual({ ...found, python: cpu, origin: "managed" });
    const cuda = fakePython(interpreterOf(managedFolder("cuda", {}, home)), { ...answer, build: "cuda" });
    expect(await findPython({ env: {}, home })).toMatchObject({ python: cuda, build: "cuda" });
  });

  it("lies where XDG_DATA_HOME says", () => {
    if (process.platform === "linux")
      expect(managedFolder("cpu", { XDG_DATA_HOME: "/data" }, "/home/me")).toMatch(
        /^\/data\/moescope\/vllm-.*-cpu$/,
      );
  });

  it.each([
    ["that is not there", () => join(folder, "none"), "there is no such file"],
    [
      "that cannot run",
      () => {
        writeFileSync(join(folder, "text"), "hello");
        return join(folder, "text");
      },
      "is no Python that runs",
    ],
    [
      "that fails",
      () => fakeProgram(join(folder, "fails"), 'console.error("a\\nbad magic"); process.exit(1)'),
      "bad magic",
    ],
    [
      "that is another program",
      () => fakeProgram(join(folder, "ls"), 'console.log("a b c")'),
      "is no Python",
    ],
    ["without vLLM", () => fakePython(join(folder, "bare"), { ...answer, vllm: null }), "has no vLLM"],
    [
      "without PyTorch",
      () => fakePython(join(folder, "torchless"), { ...answer, torch: null }),
      "has no PyTorch",
    ],
  ])("one %s is refused", async (_, make, message) => {
    const python = make();
    await expect(findPython({ python })).rejects.toMatchObject({
      code: "ENGINE_UNAVAILABLE",
      message: expect.stringContaining(message),
    });
    const env = { MOESCOPE_PYTHON: python };
    await expect(findPython({ env })).rejects.toThrow("(MOESCOPE_PYTHON)");
    expect(await diagnoseVllm({ env })).toEqual({ problem: expect.stringContaining(message) });
  });
});
