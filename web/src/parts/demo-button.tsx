import { useState } from "preact/hooks";
import type { Job, JobEvents } from "../../../src/server/jobs/schemas.ts";
import { loadCaptureList } from "../data/captures.ts";
import { server } from "../data/server.ts";
import { go } from "../route.ts";

/** Captures the demo model's texts on this server's model and opens the result. */
export function DemoButton({ onError }: { readonly onError: (error: Error | null) => void }) {
  const [job, setJob] = useState<Job | null>(null);
  const run = async () => {
    onError(null);
    try {
      const started = await server.post("/api/captures", { prompts: "demo" });
      setJob(started);
      for await (const { event, data } of await server.get("/api/jobs/{id}/events", { id: started.id })) {
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
        <button type="button" onClick={() => void server.delete("/api/jobs/{id}", { id: job.id })}>
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
