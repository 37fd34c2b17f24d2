import type { CaptureSummary } from "../../../src/server/captures/summary.ts";
import type { ComparisonFacts } from "../../../src/views/facts/comparison.ts";
import { ApiError } from "../data/request.ts";
import { useComparison } from "../data/routing.ts";
import { amount, count, percent } from "../parts/numbers.ts";
import { EmptyNote, ErrorNote, Skeleton } from "../parts/states.tsx";
import { Term } from "../parts/term.tsx";
import { TokenText } from "../parts/token-text.tsx";

const MOVED = 10;

/** The same prompts through both: token by token. */
export function TokenByToken({ a, b }: { readonly a: CaptureSummary; readonly b: CaptureSummary }) {
  const comparison = useComparison(a, b);
  if (comparison.state === "error")
    return comparison.error instanceof ApiError && comparison.error.status < 500 ? (
      <EmptyNote>
        <p>
          <strong>Not comparable token by token.</strong> {comparison.error.message}
        </p>
      </EmptyNote>
    ) : (
      <ErrorNote error={comparison.error} retry={comparison.retry} />
    );
  if (!comparison.data) return <Skeleton height={360} label="Comparing token by token" />;
  const { rows, onlyA, onlyB, exact, layers, moved } = comparison.data;
  return (
    <div class="cards">
      <div class="card">
        <h2>
          <Term name="agreement">Agreement</Term>
        </h2>
        <p class="figure">
          <span>{percent(exact)}</span> same experts
        </p>
        <p class="muted">
          of {count(rows)} tokens in both
          {onlyA + onlyB > 0 ? `; ${count(onlyA)} only in A, ${count(onlyB)} only in B` : ""}
        </p>
      </div>
      <div class="card span-2">
        <h2>By layer</h2>
        <LayerTable layers={layers} />
      </div>
      {moved.length > 0 && (
        <div class="card span-all">
          <h2>Tokens that moved most</h2>
          <div class="scroll-x">
            <table>
              <thead>
                <tr>
                  <th>Token</th>
                  <th class="number">sample</th>
                  <th class="number">position</th>
                  <th class="number">
                    <Term name="js">divergence</Term>
                  </th>
                  <th class="number">
                    <Term name="overlap">overlap</Term>
                  </th>
                  <th class="number">first layer</th>
                </tr>
              </thead>
              <tbody>
                {moved.slice(0, MOVED).map(({ sample, position, text, js, overlap, firstLayer }) => (
                  <tr key={`${sample}/${position}`}>
                    <td>
                      <span class="token shown">
                        <TokenText text={text} />
                      </span>
                    </td>
                    <td class="number">{sample}</td>
                    <td class="number">{position}</td>
                    <td class="number">{amount(js ?? Number.NaN)}</td>
                    <td class="number">{percent(overlap)}</td>
                    <td class="number">{firstLayer < 0 ? "–" : firstLayer}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </div>
      )}
    </div>
  );
}

const LayerTable = ({ layers }: { readonly layers: ComparisonFacts["layers"] }) => (
  <div class="scroll-x">
    <table>
      <thead>
        <tr>
          <th>Layer</th>
          <th class="wide">same experts</th>
          <th class="number">
            <Term name="overlap">overlap</Term>
          </th>
          <th class="number">
            <Term name="js">divergence</Term>
          </th>
          <th class="number">first to differ</th>
        </tr>
      </thead>
      <tbody>
        {layers.map(({ layer, exact, overlap, js, firstToDiffer }) => (
          <tr key={layer}>
            <th scope="row">{layer}</th>
            <td class="wide">
              <span class="bar">
                <span class="bar-fill" style={{ width: `${100 * exact}%`, background: "var(--muted)" }} />
              </span>
              <span class="bar-value">{percent(exact)}</span>
            </td>
            <td class="number">{percent(overlap)}</td>
            <td class="number">{amount(js ?? Number.NaN)}</td>
            <td class="number">{count(firstToDiffer)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);
