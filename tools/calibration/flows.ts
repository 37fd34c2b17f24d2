import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import { tableInformation } from "../../src/analysis/statistics/table-information.ts";

/** Mean information of planted tables, and the truth, in bits; `null` where rows are said to be too few. */
export function flowOf(experts: number, rows: number, keep: number, runs: number, seed: number) {
  const random = seededRandom(seed);
  const draw = () => Math.floor(random() * experts);
  const found = Array.from({ length: runs }, () => {
    const table = new Uint32Array(experts * experts);
    for (let row = 0; row < rows; row++) {
      const a = draw();
      const b = random() < keep ? (a * 7 + 3) % experts : draw();
      table[a * experts + b]!++;
    }
    return tableInformation(table, experts).information;
  });
  const same = keep + (1 - keep) / experts;
  const other = (1 - keep) / experts;
  const truth =
    same * Math.log2(same * experts) + (keep < 1 ? (experts - 1) * other * Math.log2(other * experts) : 0);
  const known = found.filter((value) => value !== null);
  return {
    truth,
    mean: known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length,
  };
}
