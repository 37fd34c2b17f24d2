import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Path of a Python interpreter that has the packages of `requirements.txt`. */
    python: string;
  }
}

const run = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));
const requirements = join(here, "requirements.txt");

/**
 * Gives the tests a Python with exactly the packages of `requirements.txt`: a virtual environment under
 * `.cache/python`, made on the first run and whenever that file changes. `MOESCOPE_TEST_PYTHON` names an interpreter
 * to use instead, as it is.
 */
export default async function setup(project: TestProject): Promise<void> {
  project.provide("python", process.env.MOESCOPE_TEST_PYTHON ?? (await environment()));
}

async function environment(): Promise<string> {
  const hash = createHash("sha256")
    .update(await readFile(requirements))
    .digest("hex")
    .slice(0, 12);
  const cache = join(here, "../../.cache/python");
  const folder = join(cache, hash);
  const python = interpreterOf(folder);
  if (await exists(python)) return python;
  console.log("tests: installing the Python packages of tests/setup/requirements.txt (once, about a minute)");
  // Made under another name and renamed when it is whole: an interrupted run leaves nothing that looks usable, and
  // two runs at a time do not meet.
  const draft = join(cache, `${hash}.${process.pid}`);
  await mkdir(cache, { recursive: true });
  try {
    await make(draft);
    await rename(draft, folder).catch(async (error) => {
      if (!(await exists(python))) throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return python;
}

async function make(folder: string): Promise<void> {
  const base = process.platform === "win32" ? "python" : "python3";
  await run(base, ["-m", "venv", folder]).catch((cause) => {
    throw new Error(
      `the tests need Python 3.11 or newer with venv, and "${base} -m venv" failed: install it (Debian and Ubuntu: ` +
        "apt install python3 python3-venv), or name an interpreter that has tests/setup/requirements.txt in " +
        `MOESCOPE_TEST_PYTHON\n${outputOf(cause)}`,
      { cause },
    );
  });
  const install = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r"];
  await run(interpreterOf(folder), [...install, requirements]).catch((cause) => {
    throw new Error(
      "pip could not install tests/setup/requirements.txt: check the network, or name an interpreter that has them " +
        `in MOESCOPE_TEST_PYTHON\n${outputOf(cause)}`,
      { cause },
    );
  });
}

const interpreterOf = (folder: string) =>
  process.platform === "win32" ? join(folder, "Scripts/python.exe") : join(folder, "bin/python");

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

const outputOf = ({ stderr, stdout, message }: { stderr?: string; stdout?: string; message?: string }) =>
  stderr || stdout || message || "";
