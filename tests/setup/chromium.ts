import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** A Chromium to drive, or why there is none. */
    chromium: { readonly path: string } | { readonly missing: string };
  }
}

const run = promisify(execFile);
const PACKAGE = "chromium";
const PATHS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/**
 * Gives the explorer's tests a browser: the one that MOESCOPE_TEST_CHROMIUM names, one that is installed, or Debian's,
 * installed by apt where that is possible. Elsewhere they are skipped, and say so.
 */
export default async function setup(project: TestProject): Promise<void> {
  project.provide("chromium", await findOrInstall());
}

async function findOrInstall(): Promise<{ path: string } | { missing: string }> {
  const named = process.env.MOESCOPE_TEST_CHROMIUM;
  const found = named ? [named].find(existsSync) : PATHS.find(existsSync);
  if (found) return { path: found };
  if (named) return { missing: `MOESCOPE_TEST_CHROMIUM names ${named}, which is not there` };
  const command = `apt-get install ${PACKAGE}`;
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version"))
    return {
      missing: `there is no Chromium; on Debian: sudo ${command}, or name one in MOESCOPE_TEST_CHROMIUM`,
    };
  console.log(`tests: ${command} (once, the browser that shows the explorer)`);
  const options = { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
  try {
    await run("apt-get", ["update", "-q"], options);
    await run("apt-get", ["install", "-qy", "--no-install-recommends", PACKAGE], options);
  } catch (error) {
    return { missing: `${command} failed: ${(error as Error).message.slice(0, 300)}` };
  }
  const path = PATHS.find(existsSync);
  return path ? { path } : { missing: `${command} brought no browser` };
}
