import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A path for a capture in a folder of its own, which goes when the test ends. */
export async function capturePath(): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), "moescope-"));
  onTestFinished(() => rm(parent, { recursive: true, force: true }));
  return join(parent, "run");
}
