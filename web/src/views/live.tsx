import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ServedModel, TokenEvent } from "../../../src/server/api/jobs.ts";
import { count as short } from "../../../src/view/numbers.ts";
import { matrixCells } from "../canvas/cells.ts";
import { Heatmap } from "../canvas/heatmap.tsx";
import type { HeatmapView } from "../canvas/heatmap-view.ts";
import { OTHER_COLOUR, rankColours } from "../colour/categories.ts";
import { type ColourScale, colourOf, hexPixel, inkOn, pixelCss, VIRIDIS_RAMP } from "../colour/palette.ts";
import { loadCaptureList } from "../data/captures.ts";
import {
  cancelRun,
  generate,
  type LiveRun,
  liveBusy,
  liveError,
  liveRun,
  loadModels,
  watch,
  watching,
} from "../data/live-run.ts";
import { useResource } from "../data/resource.ts";
import { useKeys } from "../keys.ts";
import { csv } from "../parts/csv.ts";
import { useExports } from "../parts/export-menu.tsx";
import { CategoryLegend, RampLegend } from "../parts/legend.tsx";
import { amount, count, plural } from "../parts/numbers.ts";
import { canvasPng } from "../parts/png.ts";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { RoutingTable } from "../parts/token-card.tsx";
import { TokenStrip } from "../parts/token-strip.tsx";
import { TokenText } from "../parts/token-text.tsx";
import { usageScale } from "../parts/usage-scale.ts";
import { go, param, show } from "../route.ts";
import { chosenLayer, hovered } from "../selection.ts";
import { isDark, themeVersion } from "../theme.ts";
import { mapHeight } from "./usage.tsx";

const promptParam = param("prompt");
const colourParam = param("by");
const EXAMPLE = "def fibonacci(n):\n    ";
const DEFAULT_TOKENS = 48;

interface Message {
  readonly role: "user" | "assistant";
  readonly content: string;
}

/** Type, and see who serves each token as it comes. */
export function LiveView() {
  const models = useResource("models", loadModels);
  if (models.state === "error") return <ErrorNote error={models.error} retry={models.retry} />;
  if (!models.data) return <Skeleton height={560} />;
  const { models: list } = models.data;
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
  return <LivePage models={list} />;
}

function LivePage({ models }: { readonly models: readonly ServedModel[] }) {
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

function Composer({
  models,
  messages,
}: {
  readonly models: readonly ServedModel[];
  readonly messages: { value: readonly Message[]; peek(): readonly Message[] };
}) {
  const [text, setText] = useState(promptParam.peek() ?? EXAMPLE);
  const [chat, setChat] = useState(false);
  const [maxTokens, setMaxTokens] = useState(DEFAULT_TOKENS);
  const [temperature, setTemperature] = useState(0);
  const [model, setModel] = useState(models[0]!.id);
  const busy = liveBusy.value;
  const send = async () => {
    if (text === "") return;
    show({ prompt: text });
    const input = { model, prompt: text, maxTokens, temperature, messages: null };
    if (!chat) await generate(input);
    else {
      messages.value = [...messages.peek(), { role: "user", content: text }];
      setText("");
      const answer = await generate({ ...input, messages: messages.peek() });
      if (answer !== null) messages.value = [...messages.peek(), { role: "assistant", content: answer }];
    }
    // The run is a capture now.
    void loadCaptureList();
  };
  const { info, engine } = models.find(({ id }) => id === model)!;
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {chat && messages.value.length > 0 && (
        <ol class="messages">
          {messages.value.map(({ role, content }, i) => (
            <li key={i} class={role}>
              <strong>{role === "user" ? "You" : info.name}</strong> {content}
            </li>
          ))}
        </ol>
      )}
      <label class="hidden-text" for="prompt">
        {chat ? "Message" : "Text to continue"}
      </label>
      <textarea
        id="prompt"
        rows={3}
        value={text}
        placeholder={chat ? "Ask something" : "Text to continue"}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            void send();
          }
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
      <div class="composer-row">
        {busy ? (
          <button type="button" onClick={cancelRun}>
            Stop
          </button>
        ) : (
          <button type="submit" class="primary" title="ctrl + enter">
            {chat ? "Send" : "Continue the text"}
          </button>
        )}
        <label class="inline">
          <input
            type="checkbox"
            checked={chat}
            onChange={(event) => {
              setChat(event.currentTarget.checked);
              messages.value = [];
            }}
          />
          chat
        </label>
        <label class="inline">
          tokens
          <input
            type="number"
            min={1}
            max={4096}
            value={maxTokens}
            onChange={(event) =>
              setMaxTokens(Math.max(1, Number(event.currentTarget.value) || DEFAULT_TOKENS))
            }
          />
        </label>
        <label class="inline">
          temperature
          <input
            type="number"
            min={0}
            max={5}
            step={0.1}
            value={temperature}
            onChange={(event) => setTemperature(Math.max(0, Number(event.currentTarget.value) || 0))}
          />
        </label>
        {models.length > 1 ? (
          <label class="inline">
            <span class="hidden-text">Model</span>
            <select value={model} onChange={(event) => setModel(event.currentTarget.value)}>
              {models.map(({ id, info: { name } }) => (
                <option key={id} value={id}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        ) : (
          <span class="muted small">
            {info.name} · {short(info.parameters)} · {engine.kind}
          </span>
        )}
        <button
          type="button"
          class="quiet watch"
          aria-pressed={watching.value}
          title="Show what other apps run through this server's OpenAI-compatible API (/v1)"
          onClick={() => (watching.value ? cancelRun() : void watch())}
        >
          {watching.value ? "Stop watching" : "Watch other apps"}
        </button>
      </div>
    </form>
  );
}

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

/** Entropy of a token: of the chosen layer, else the mean of all. */
function entropyOf({ entropy }: TokenEvent, line: number): number {
  if (line >= 0) return entropy[line] ?? Number.NaN;
  const known = entropy.filter((value) => value !== null);
  return known.length === 0 ? Number.NaN : known.reduce((sum, value) => sum + value, 0) / known.length;
}

interface TokensProps {
  readonly run: LiveRun;
  readonly hover: number | null;
  readonly kept: number | null;
  readonly onKeep: (row: number | null) => void;
}

function LiveTokens({ run, hover, kept, onKeep }: TokensProps) {
  const { tokens, layers, experts } = run;
  const byExpert = colourParam.value === "expert";
  const line = layers.indexOf(chosenLayer.value ?? -1);
  const expertLine = line >= 0 ? line : Math.floor(layers.length / 2);
  const dark = isDark();
  const scale = useMemo<ColourScale>(
    () => ({
      ramp: VIRIDIS_RAMP,
      min: 0,
      max: Math.log(experts),
      missing: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
    }),
    [experts, dark],
  );
  const colours = useMemo(() => {
    const counts = new Uint32Array(experts);
    for (const token of tokens) counts[token.experts[expertLine]![0]!]!++;
    return rankColours(counts);
  }, [byExpert && tokens, expertLine, experts]);
  const strip = tokens.map((token, row) => {
    const best = token.experts[expertLine]![0]!;
    const value = entropyOf(token, line);
    const pixel = byExpert ? hexPixel(colours[best]!) : colourOf(scale, value);
    return {
      row,
      text: token.text,
      generated: token.phase === "generated",
      colour: pixelCss(pixel),
      ink: inkOn(pixel),
      said: byExpert ? `expert ${best}` : `${amount(value)} nats`,
    };
  });
  const keep = (row: number) => onKeep(kept === row ? null : row);
  return (
    <div class="live-tokens">
      <div class="legends">
        <label class="inline">
          <span>Colour</span>
          <select
            value={byExpert ? "expert" : "entropy"}
            onChange={(event) => show({ by: event.currentTarget.value === "expert" ? "expert" : null })}
          >
            <option value="entropy">entropy</option>
            <option value="expert">top expert</option>
          </select>
        </label>
        <label class="inline">
          <span>of layer</span>
          <select
            value={line >= 0 ? layers[line] : ""}
            onChange={(event) => show({ layer: event.currentTarget.value })}
          >
            <option value="">{byExpert ? `${layers[expertLine]} (middle)` : "all, mean"}</option>
            {layers.map((layer) => (
              <option key={layer}>{layer}</option>
            ))}
          </select>
        </label>
        {byExpert ? (
          <CategoryLegend
            title={<Term name="top_expert">Top expert</Term>}
            categories={colours
              .map((colour, expert) => ({ name: `${expert}`, colour }))
              .filter(({ colour }) => colour !== OTHER_COLOUR)}
          />
        ) : (
          <RampLegend scale={scale} title={<Term name="entropy">Entropy</Term>} unit="nats" />
        )}
      </div>
      <TokenStrip
        tokens={strip}
        hovered={hover}
        chosen={kept}
        label="Tokens of the run"
        onHover={hoverRow}
        onPick={keep}
        after={liveBusy.value ? <li class="caret" aria-hidden="true" /> : <LastToken run={run} />}
      />
    </div>
  );
}

/** The token that was chosen last did not go through the model: it has a text and no routing. */
function LastToken({ run: { text, tokens } }: { readonly run: LiveRun }) {
  if (text === null) return null;
  const shown = tokens
    .filter(({ phase }) => phase === "generated")
    .map((token) => token.text)
    .join("");
  const last = text.startsWith(shown) ? text.slice(shown.length) : "";
  if (last === "") return null;
  return (
    <li>
      <span class="token unrouted" title="Chosen last and not run through the model: it has no routing.">
        <TokenText text={last} />
      </span>
    </li>
  );
}

const hoverRow = (row: number | null): void => {
  hovered.value = row === null ? null : { row };
};

const FADE = 0.72;
/** A token's light is gone after so many others. */
const TRAIL = 8;

/** All experts: the ones of the token in view, with the trail of those before it, or their use so far. */
function LiveMap({
  run,
  focus,
  onView,
}: {
  readonly run: LiveRun;
  readonly focus: number | null;
  readonly onView: (view: HeatmapView) => void;
}) {
  const { layers, experts, topK, tokens } = run;
  const [whole, setWhole] = useState(false);
  const dark = isDark();
  const scale = useMemo<ColourScale>(
    () =>
      whole
        ? usageScale(dark)
        : { ramp: VIRIDIS_RAMP, min: 0, max: 1, missing: 0, zero: hexPixel(dark ? "#1e2226" : "#f1f1ee") },
    [whole, dark, themeVersion.value],
  );
  const values = useMemo(
    () => (whole ? usageSoFar(run) : glow(run, focus)),
    [whole, whole ? tokens : focus, whole || focus === null ? 0 : tokens[focus], layers],
  );
  const cells = useMemo(() => matrixCells(values, layers.length, experts, scale), [values, scale]);
  const rows = useMemo(() => ({ name: "layer", label: (line: number) => `${layers[line]}` }), [layers]);
  const columns = useMemo(() => ({ name: "expert", label: String }), []);
  const hover = hovered.value;
  return (
    <div class="live-map">
      <div class="legends">
        <div class="segments" role="group" aria-label="What the map shows">
          <button type="button" aria-pressed={!whole} onClick={() => setWhole(false)}>
            this token
          </button>
          <button type="button" aria-pressed={whole} onClick={() => setWhole(true)}>
            all so far
          </button>
        </div>
        {whole ? (
          <RampLegend
            scale={scale}
            title={<Term name="usage">Usage</Term>}
            unit="× fair share"
            open
            mark={{ value: 1, text: "fair" }}
            zero="never used"
          />
        ) : (
          <RampLegend
            scale={scale}
            title={<Term name="weight">Weight</Term>}
            unit="fading from token to token"
          />
        )}
      </div>
      <Heatmap
        label="Experts of this run, layers by experts"
        cells={cells}
        rows={rows}
        columns={columns}
        zoom="none"
        height={Math.min(360, mapHeight(layers.length))}
        cursor={null}
        chosen={null}
        hovered={
          hover?.layer === undefined ? null : { row: layers.indexOf(hover.layer), column: hover.expert }
        }
        onHover={(cell) => {
          hovered.value = cell && { layer: layers[cell.row]!, expert: cell.column };
        }}
        onPick={({ row, column }) => show({ layer: layers[row]!, expert: column })}
        onView={onView}
        describe={({ row, column }) => (
          <>
            <strong>
              Layer {layers[row]}, expert {column}
            </strong>
            <p>
              {whole
                ? `${amount(values[row * experts + column]!)} × fair share (top-${topK})`
                : weightSaid(tokens[focus ?? 0], row, column)}
            </p>
          </>
        )}
        sayCell={({ row, column }) =>
          `Layer ${layers[row]}, expert ${column}: ${amount(values[row * experts + column]!)}`
        }
      />
    </div>
  );
}

function weightSaid(token: TokenEvent | undefined, line: number, expert: number): string {
  const rank = token?.experts[line]?.indexOf(expert) ?? -1;
  if (rank < 0) return "not used by this token";
  const weight = token!.weights[line]?.[rank];
  return weight === undefined ? "used by this token" : `weight ${weight.toFixed(3)}`;
}

/** Weights of the token in focus, `[layers, experts]`, and of those just before it, fainter. */
function glow({ layers, experts, topK, tokens }: LiveRun, focus: number | null): Float32Array {
  const values = new Float32Array(layers.length * experts);
  if (focus === null) return values;
  for (let at = Math.max(0, focus - TRAIL); at <= focus; at++) {
    const fade = FADE ** (focus - at);
    const token = tokens[at]!;
    token.experts.forEach((ids, line) => {
      ids.forEach((expert, rank) => {
        const weight = token.weights[line]![rank] ?? 1 / topK;
        const place = line * experts + expert;
        values[place] = Math.max(values[place]!, weight * fade);
      });
    });
  }
  return values;
}

/** Use of each expert over its fair share, `[layers, experts]`. */
function usageSoFar({ layers, experts, topK, tokens }: LiveRun): Float32Array {
  const values = new Float32Array(layers.length * experts);
  const each = experts / topK / Math.max(1, tokens.length);
  for (const token of tokens)
    token.experts.forEach((ids, line) => {
      for (const expert of ids) values[line * experts + expert]! += each;
    });
  return values;
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
