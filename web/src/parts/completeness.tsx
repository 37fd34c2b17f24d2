import type { CaptureSummary } from "../../../src/server/captures/summary.ts";
import type { CaptureDetails } from "../../../src/server/questions/capture.ts";
import { bytes, count as short } from "../../../src/views/numbers.ts";
import { routedLayers } from "../data/captures.ts";
import { count, plural } from "./numbers.ts";

/** Gaps listed; the rest are counted. */
const MAX_GAPS = 20;

/**
 * What was captured and what is missing, above every view: whoever reads a map must know what it does not show.
 */
export function Completeness({
  summary,
  details,
}: {
  readonly summary: CaptureSummary;
  readonly details: CaptureDetails | undefined;
}) {
  const { model, engine, rows, samples, complete, missing, streams } = summary;
  const layers = routedLayers(summary);
  const whole = complete && missing === 0;
  const all = model.moe?.layers.length ?? 0;
  return (
    <details class={whole ? "completeness" : "completeness gaps"}>
      <summary>
        <span class="state" aria-hidden="true">
          {whole ? "✓" : "!"}
        </span>
        <strong>{whole ? "Complete" : "Incomplete"}</strong>
        <span>
          {plural(rows, "token")} of {withRows(details, samples)}, {layers.length} of{" "}
          {plural(all, "MoE layer")}
        </span>
        {!whole && <span>{reason(summary, details)}</span>}
        <span class="muted">
          {model.name} · {model.moe ? `${model.moe.experts} experts, top-${model.moe.topK}` : "dense"} ·{" "}
          {engine.kind} {engine.version}
        </span>
      </summary>
      <div class="completeness-body">
        <dl class="facts">
          <Fact name="Model">
            {model.architecture}, {plural(model.layers, "layer")}, {short(model.parameters)} parameters,{" "}
            {model.quantization}, {bytes(model.bytes)}
          </Fact>
          <Fact name="SHA-256">
            {model.sha256 ? <code class="hash">{model.sha256}</code> : "not recorded"}
          </Fact>
          <Fact name="Captured">
            {new Date(summary.createdAt).toLocaleString()} with {engine.kind} {engine.version}
          </Fact>
          <Fact name="Streams">
            {streams
              .map(({ name, type, layers: of }) => `${name} (${type}, ${plural(of.length, "layer")})`)
              .join(", ")}
          </Fact>
          <Fact name="Not captured">{notCaptured(summary)}</Fact>
          {details?.run && (
            <Fact name="Settings">
              {Object.entries({
                maxTokens: details.run.maxTokens,
                ...details.run.sampling,
                ...details.run.settings,
              })
                .filter(([, value]) => value !== null && value !== undefined && `${value}` !== "")
                .map(([name, value]) => `${name} ${Array.isArray(value) ? JSON.stringify(value) : value}`)
                .join(", ")}
            </Fact>
          )}
        </dl>
        {details && details.missingRows.length > 0 && (
          <table>
            <caption class="hidden-text">Rows that are missing</caption>
            <thead>
              <tr>
                <th>Sample</th>
                <th>Missing positions</th>
                <th>Why</th>
              </tr>
            </thead>
            <tbody>
              {details.missingRows.slice(0, MAX_GAPS).map(({ sample, from, to, why }) => (
                <tr key={`${sample}/${from}`}>
                  <td>{sample}</td>
                  <td>
                    {from} to {to === null ? "its end" : to - 1}
                  </td>
                  <td>{why}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {details && details.missingRows.length > MAX_GAPS && (
          <p class="muted">and {count(details.missingRows.length - MAX_GAPS)} more</p>
        )}
      </div>
    </details>
  );
}

/** The samples that have rows, and how many there should be. */
function withRows(details: CaptureDetails | undefined, samples: number): string {
  if (!details) return plural(samples, "sample");
  const { firstRows, rows } = details;
  const filled = firstRows.filter((first, i) => first < (firstRows[i + 1] ?? rows)).length;
  return filled === samples ? plural(samples, "sample") : `${count(filled)} of ${plural(samples, "sample")}`;
}

const Fact = ({ name, children }: { readonly name: string; readonly children: preact.ComponentChildren }) => (
  <>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </>
);

function reason({ complete, missing }: CaptureSummary, details: CaptureDetails | undefined): string {
  const why = new Set(details?.missingRows.map((gap) => gap.why));
  if (why.size > 0) return `${plural(missing, "gap")}: ${[...why].slice(0, 2).join("; ")}`;
  return complete ? plural(missing, "gap") : "the run has not come to its end, or was killed";
}

function notCaptured({ model, streams }: CaptureSummary): string {
  const have = new Set<string>(streams.map(({ name }) => name));
  const absent = ["router_logits", "expert_ids", "expert_weights", "hidden_states"].filter(
    (name) => !have.has(name),
  );
  const layers = new Set(streams.flatMap((stream) => stream.layers));
  const left = (model.moe?.layers ?? []).filter((layer) => !layers.has(layer));
  const parts = [...absent, ...(left.length > 0 ? [`MoE layers ${left.join(", ")}`] : [])];
  return parts.length === 0 ? "nothing" : parts.join(", ");
}
