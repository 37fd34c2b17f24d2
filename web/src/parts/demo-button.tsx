import { useState } from "preact/hooks";
import type { Job, JobEvents } from "../../../src/server/api/jobs.ts";
import { loadCaptureList } from "../data/captures.ts";
import { streamEvents } from "../data/event-stream.ts";
import { postJson, request } from "../data/request.ts";
import { go } from "../route.ts";

/** Captures the demo model's texts on this server's model and opens the result. */
export function DemoButton({ onError }: { readonly onError: (error: Error | null) => void }) {
  const [job, setJob] = useState<Job | null>(null);
  const run = async () => {
    onError(null);
    try {
      const started = await postJson<Job>("captures", { prompts: "demo" });
      setJob(started);
      for await (const { event, data } of streamEvents(await request(`jobs/${started.id}/events`))) {
        if (event !== "job" && event !== "end") continue;
        const told = event === "end" ? (JSON.parse(data) as JobEvents["end"]).job : (JSON.parse(data) as Job);
        setJob(told);
        if (told.error) throw new Error(told.error.message);
      }
      await loadCaptureList();
      go("usage", { c: null });
    } catch (error) {
      onError(error as Error);
    } finally {
      setJob(null);
    }
  };
  const progress = job?.progress;
  if (job)
    return (
      <p class="composer-row">
        <progress value={progress?.tokens ?? 0} max={progress?.totalTokens ?? 1} aria-label="Capturing" />
        <button type="button" onClick={() => void request(`jobs/${job.id}`, { method: "DELETE" })}>
          Cancel
        </button>
      </p>
    );
  return (
    <button type="button" class="primary" onClick={() => void run()}>
      Run the demo
    </button>
  );
}
