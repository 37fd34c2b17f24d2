import { largest } from "../../../src/core/extremes.ts";
import { amount, count, percent, pointsWithInterval, probability } from "./numbers.ts";
import { Term } from "./term.tsx";

export interface ShareBar {
  readonly name: string;
  readonly colour: string;
  /** Rows of the group that used the expert, of so many. */
  readonly used: number;
  readonly rows: number;
  /** The share less that of the rows it is compared with; half its 95 % interval, `null` with too few texts. */
  readonly difference: number;
  readonly halfWidth: number | null;
  readonly qValue: number | null;
}

/** Shares up to which q-values count as more than chance. */
const ALPHA = 0.05;

/** An expert's share of each group's tokens, with the fair share as a line. */
export function ShareBars({
  bars,
  fairShare,
  kind,
}: {
  readonly bars: readonly ShareBar[];
  readonly fairShare: number;
  readonly kind: string;
}) {
  const shares = bars.map(({ used, rows }) => (rows === 0 ? 0 : used / rows));
  const most = Math.max(2 * fairShare, largest(shares));
  return (
    <div class="scroll-x">
      <table class="shares">
        <thead>
          <tr>
            <th>{kind}</th>
            <th class="wide">
              <Term name="share">Share</Term>, line: <Term name="fairShare">fair share</Term>{" "}
              {percent(fairShare)}
            </th>
            <th class="number">× fair</th>
            <th class="number">
              <Term name="difference">points more</Term>
            </th>
            <th class="number">
              <Term name="qValue">q</Term>
            </th>
          </tr>
        </thead>
        <tbody>
          {bars.map(({ name, colour, used, rows, difference, halfWidth, qValue }, i) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="wide">
                <span class="bar" title={`${count(used)} of ${count(rows)} tokens`}>
                  <span
                    class="bar-fill"
                    style={{ width: `${(100 * shares[i]!) / most}%`, background: colour }}
                  />
                  <span class="bar-fair" style={{ left: `${(100 * fairShare) / most}%` }} />
                </span>
                <span class="bar-value">{percent(shares[i]!)}</span>
              </td>
              <td class="number">{amount(shares[i]! / fairShare)}</td>
              <td class="number" title="more than the rows it is compared with; 95 % interval">
                {pointsWithInterval(difference, halfWidth)}
              </td>
              <td class="number">
                {qValue === null ? "–" : probability(qValue)}
                {qValue !== null && qValue <= ALPHA ? (
                  <span class="star" title="more than the rows it is compared with, beyond chance">
                    {" "}
                    ★
                  </span>
                ) : (
                  ""
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
