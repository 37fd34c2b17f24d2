import type {
  LayerTokenPreferences,
  TokenPreferences,
} from "../../../src/analysis/measures/token-preferences.ts";
import { tokensTested } from "../../../src/views/evidence.ts";
import type { ViewProps } from "../app.tsx";
import { amount, count, probability } from "../parts/numbers.ts";
import { Term } from "../parts/term.tsx";
import { TokenText } from "../parts/token-text.tsx";
import { go } from "../route.ts";

/** The tokens it gave most weight, in context. */
export function HeaviestTokens({
  capture,
  layer,
  of,
}: ViewProps & { readonly layer: number; readonly of: TokenPreferences | undefined }) {
  if (!of || (of.byWeight.length === 0 && of.byLift.length === 0))
    return (
      <div class="card">
        <h2>Top tokens</h2>
        <p class="muted">It served no token of this capture.</p>
      </div>
    );
  if (of.byWeight.length === 0) return null;
  return (
    <div class="card">
      <h2>
        Tokens it gave most <Term name="weight">weight</Term>, in context
      </h2>
      <ol class="contexts">
        {of.byWeight.map(({ sample, position, text, before, after, label, weight }) => (
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

/** Tokens that it serves more often than chance explains. */
export function PreferredTokens({
  layer,
  expert,
}: {
  readonly layer: LayerTokenPreferences;
  readonly expert: number;
}) {
  const found = layer.experts[expert]?.byLift ?? [];
  return (
    <div class="card">
      <h2>Tokens it prefers</h2>
      {found.length === 0 ? (
        <p class="muted">No token is beyond chance.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th>Token</th>
              <th class="number">served</th>
              <th class="number">texts</th>
              <th class="number">
                <Term name="tokenLift">lift</Term>
              </th>
              <th class="number">q</th>
            </tr>
          </thead>
          <tbody>
            {found.map(({ tokenId, text, count: served, of: rows, texts, lift, qValue }) => (
              <tr key={tokenId}>
                <td class="mono">
                  <TokenText text={text} />
                </td>
                <td class="number">
                  {count(served)} of {count(rows)}
                </td>
                <td class="number">{count(texts)}</td>
                <td class="number">{amount(lift)}</td>
                <td class="number">{probability(qValue)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p class="muted small">{tokensTested(layer)}.</p>
    </div>
  );
}
