import type { ExpertTaste } from "../../../src/analysis/layer-analysis.ts";
import type { ViewProps } from "../app.tsx";
import { amount, count } from "../parts/numbers.ts";
import { Term } from "../parts/term.tsx";
import { TokenText } from "../parts/token-text.tsx";
import { go } from "../route.ts";

/** The tokens it gave most weight, in context. */
export function Tastes({
  capture,
  layer,
  taste,
}: ViewProps & { readonly layer: number; readonly taste: ExpertTaste | undefined }) {
  if (!taste || (taste.byWeight.length === 0 && taste.byLift.length === 0))
    return (
      <div class="card">
        <h2>Top tokens</h2>
        <p class="muted">It served no token of this capture.</p>
      </div>
    );
  if (taste.byWeight.length === 0) return null;
  return (
    <div class="card">
      <h2>
        Tokens it gave most <Term name="weight">weight</Term>, in context
      </h2>
      <ol class="contexts">
        {taste.byWeight.map(({ sample, position, text, before, after, label, weight }) => (
          <li key={`${sample}/${position}`}>
            <button
              type="button"
              class="context"
              onClick={() => {
                const row = capture.firstRows[sample]! + position;
                go("tokens", { row, layer, sample, x: capture.firstRows[sample]!, w: null });
              }}
            >
              <span class="context-text mono">
                <span class="muted">
                  <span>
                    <TokenText text={before} />
                  </span>
                </span>
                <mark>
                  <TokenText text={text} />
                </mark>
                <span class="muted">
                  <TokenText text={after} />
                </span>
              </span>
              <span class="muted small">
                {label} {weight.toFixed(2)}
              </span>
            </button>
          </li>
        ))}
      </ol>
    </div>
  );
}

/** Tokens that it serves more often than other experts do. */
export function Preferred({ taste }: { readonly taste: ExpertTaste | undefined }) {
  if (!taste || taste.byLift.length === 0) return null;
  return (
    <div class="card">
      <h2>Tokens it prefers</h2>
      <table>
        <thead>
          <tr>
            <th>Token</th>
            <th class="number">served</th>
            <th class="number">
              <Term name="lift">lift</Term>
            </th>
          </tr>
        </thead>
        <tbody>
          {taste.byLift.map(({ tokenId, text, count: served, of, lift }) => (
            <tr key={tokenId}>
              <td class="mono">
                <TokenText text={text} />
              </td>
              <td class="number">
                {count(served)} of {count(of)}
              </td>
              <td class="number">{amount(lift)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
