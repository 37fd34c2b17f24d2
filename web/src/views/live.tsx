import { useSignal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ModelList, ServedModel } from "../../../src/server/jobs/schemas.ts";
import type { HeatmapView } from "../canvas/heatmap-view.ts";
import { type LiveRun, liveError, liveRun, loadModels, watching } from "../data/live-run.ts";
import { useResource } from "../data/resource.ts";
import { useKeys } from "../keys.ts";
import { csv } from "../parts/csv.ts";
import { useExports } from "../parts/export-menu.tsx";
import { count, plural } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { RoutingTable } from "../parts/token-card.tsx";
import { TokenText } from "../parts/token-text.tsx";
import { go, show } from "../route.ts";
import { hovered } from "../selection.ts";
import { Composer, type Message } from "./live-composer.tsx";
import { LiveMap } from "./live-map.tsx";
import { LiveTokens } from "./live-tokens.tsx";

/** Type, and see who serves each token as it comes. */
export function LiveView() {
  const models = useResource("models", loadModels);
  if (models.state === "error") return <ErrorNote error={models.error} retry={models.retry} />;
  if (!models.data) return <Skeleton height={560} />;
  const { models: list, recording } = models.data;
  if (list.length === 0)
    return (
      <EmptyNote>
        <p>
          <strong>This server has no model to run.</strong> It shows stored captures only. To watch a model
          think, start it with one:
        </p>
        <pre>{`npx moescope serve model.gguf
npx moescope serve hf:org/repo:Q4_K_M`}</pre>
      </EmptyNote>
    );
  return <LivePage models={list} recording={recording} />;
}

interface PageProps {
  readonly models: readonly ServedModel[];
  readonly recording: ModelList["recording"];
}

function LivePage({ models, recording }: PageProps) {
  const run = liveRun.value;
  const messages = useSignal<readonly Message[]>([]);
  const view = useRef<HeatmapView | null>(null);
  // Hovering shows, a click keeps.
  const [kept, setKept] = useState<number | null>(null);
  const hover = hovered.value?.row ?? null;
  const last = run && run.tokens.length > 0 ? run.tokens.length - 1 : null;
  const focus = hover !== null && run && hover < run.tokens.length ? hover : (kept ?? last);
  useEffect(() => setKept(null), [run?.job.id]);
  useKeys([
    { keys: ["Escape"], does: "let go of the token", run: () => setKept(null) },
    {
      keys: [",", "."],
      does: "previous, next token",
      run: (key) =>
        run &&
        setKept(Math.max(0, Math.min(run.tokens.length - 1, (kept ?? last ?? 0) + (key === "," ? -1 : 1)))),
    },
  ]);
  useExports(
    run
      ? {
          name: "live-routing",
          png: () => canvasPng(view.current!.canvas, "Experts of the tokens so far", run.job.model),
          csv: () => runCsv(run),
        }
      : null,
  );
  const token = run && focus !== null ? run.tokens[focus] : undefined;
  return (
    <section class="view live">
      <div class="with-side">
        <div class="panel">
          <Composer models={models} messages={messages} />
          <p class="muted small">{recordingNote(recording)}</p>
          {liveError.value && <ErrorNote error={liveError.value} />}
          {run ? (
            <>
              <RunState run={run} />
              <LiveTokens run={run} hover={hover} kept={kept} onKeep={setKept} />
              <LiveMap
                run={run}
                focus={focus}
                onView={(made) => {
                  view.current = made;
                }}
              />
            </>
          ) : (
            <div class="placeholder">
              <p class="muted">
                {watching.value
                  ? "Waiting for another app to run something. Point any OpenAI client at this server's address with /v1."
                  : "Tokens appear here as the model computes them, coloured by how sure the router was; below them, a map of all experts lights up."}
              </p>
            </div>
          )}
        </div>
        <aside class="side">
          {run && token ? (
            <div class="card">
              <h2 class="token-title">
                <span class="token shown">
                  <TokenText text={token.text} />
                </span>
                {kept === focus && <span class="muted small">kept · esc lets go</span>}
              </h2>
              <p class="muted small">
                id {token.tokenId} · position {token.position} · {token.phase}
              </p>
              <RoutingTable
                layers={run.layers.map((layer, line) => ({
                  layer,
                  experts: token.experts[line]!,
                  weights: token.weights[line]!.length > 0 ? token.weights[line]! : null,
                  entropy: token.entropy[line] ?? null,
                  margin: null,
                }))}
                onExpert={(layer, expert) => show({ layer, expert })}
              />
            </div>
          ) : (
            <div class="card hint">
              <h2>Who serves a token</h2>
              <p class="muted">
                Hover a token for its experts and weights in every layer; click to keep it here.
              </p>
            </div>
          )}
        </aside>
      </div>
    </section>
  );
}

const recordingNote = (recording: ModelList["recording"]) =>
  recording === null
    ? "Requests are not recorded: this server was started with --no-record."
    : `Every request to this server, prompts included, is recorded until it stops: the newest ${count(recording.requests)}, ${Math.round(recording.bytes / 2 ** 20)} MiB at most. To switch it off, start it with --no-record.`;

function RunState({ run: { job, tokens, dropped, text } }: { readonly run: LiveRun }) {
  const generated = tokens.filter(({ phase }) => phase === "generated").length;
  return (
    <p class="run-state muted small" role="status">
      {job.state === "waiting"
        ? `waiting for ${plural(job.ahead, "other run")}`
        : `${count(tokens.length - generated)} prompt + ${plural(generated, "generated token")}`}
      {job.state === "cancelled" && " · stopped"}
      {dropped > 0 && ` · ${plural(dropped, "event")} left out, the page was too slow`}
      {text !== null && job.capture && (
        <>
          {" · "}
          <button
            type="button"
            class="link"
            onClick={() => go("tokens", { c: job.capture, row: null, x: null, w: null })}
          >
            open as a capture
          </button>
        </>
      )}
    </p>
  );
}

const runCsv = ({ layers, tokens }: LiveRun): string =>
  csv(
    ["position", "phase", "token_id", "text", "layer", "rank", "expert", "weight", "entropy"],
    tokens.flatMap(({ position, phase, tokenId, text, experts, weights, entropy }) =>
      layers.flatMap((layer, line) =>
        experts[line]!.map((expert, rank) => [
          position,
          phase,
          tokenId,
          text,
          layer,
          rank,
          expert,
          weights[line]![rank] ?? null,
          entropy[line] ?? null,
        ]),
      ),
    ),
  );
