import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { packageRoot } from "../../../src/core/package-root.ts";

const run = promisify(execFile);

/** The demo model as a checkpoint, which is what vLLM loads. @param python one with the tests' packages. */
export async function demoCheckpoint(python: string, folder: string): Promise<string> {
  const checkpoint = join(folder, "demo");
  await run(python, [join(packageRoot, "models", "demo", "to_hf.py"), checkpoint]);
  return checkpoint;
}

const VISION = `
import shutil, sys
import harness
from PIL import Image
shutil.copytree(harness.reference("qwen3_vl_moe").checkpoint, sys.argv[1])
Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(sys.argv[2])
`;

/** A tiny random Qwen3-VL-MoE, and an image. @param python one with vLLM, and so with transformers. */
export async function visionCheckpoint(python: string, folder: string) {
  const checkpoint = join(folder, "vision");
  const image = join(folder, "gradient.png");
  await run(python, ["-c", VISION, checkpoint, image], {
    env: { ...process.env, PYTHONPATH: join(packageRoot, "python", "tests") },
  });
  return { checkpoint, image };
}
