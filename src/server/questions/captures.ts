import { z } from "zod";
import { readManifest } from "../../capture/folder/manifest.ts";
import { assertContained, type FoundCapture } from "../captures/capture-folders.ts";
import { type CaptureSummary, captureSummary, summarize } from "../captures/summary.ts";
import { json } from "../host/declaration.ts";
import { question } from "./question.ts";

/** A folder that looks like a capture and cannot be read. */
const brokenCapture = z.object({ folder: z.string(), message: z.string() });

const captureList = z.object({
  captures: z.array(captureSummary),
  broken: z.array(brokenCapture),
});
export type CaptureList = z.infer<typeof captureList>;

/** Of manifests that were read, by folder and version. */
const known = new Map<string, CaptureSummary>();

export const captures = question({
  path: "/api/captures",
  tag: "captures",
  summary: "All captures, with what their manifests say",
  asked: z.object({}),
  aboutAll: true,
  answer: json("the captures, by name", () => captureList),
  find: (_, { found }) => describeAll(found),
});

/** The facts of each capture, from its manifest alone. */
async function describeAll(found: readonly FoundCapture[]): Promise<CaptureList> {
  const list: CaptureList = { captures: [], broken: [] };
  for (const one of found) {
    const key = `${one.folder}\n${one.version}`;
    try {
      let summary = known.get(key);
      if (!summary) {
        await assertContained(one.folder, one.root);
        summary = summarize(one, await readManifest(one.folder));
        known.set(key, summary);
      }
      list.captures.push(summary);
    } catch (error) {
      list.broken.push({ folder: one.name, message: (error as Error).message });
    }
  }
  // Versions that are gone are not needed any more.
  const current = new Set(found.map(({ folder, version }) => `${folder}\n${version}`));
  for (const key of known.keys()) if (!current.has(key)) known.delete(key);
  return list;
}
