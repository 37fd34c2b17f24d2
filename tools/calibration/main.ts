/**
 * Calibration of the tests and intervals of the analysis, on simulated texts and on real routing of the demo model:
 *
 *     npm run calibrate -- [data sets a condition, default 150] [tables, default all]
 *
 * Prints each table (labels, real, many-labels, specialists, shifts, intervals, within-texts, flows);
 * docs/analysis.md has the outcome.
 */
import { flowOf } from "./flows.ts";
import { coverageOf } from "./intervals.ts";
import { LENGTHS, levelOf, powerOf } from "./labels.ts";
import { listsOf } from "./lists.ts";
import { realLevelOf, realRouting } from "./real.ts";
import { captureShifts, labelShifts } from "./shifts.ts";
import { driftLevelOf } from "./within-texts.ts";

const runs = Number(process.argv[2] ?? 150);
const asked = process.argv.slice(3);
const PERMUTATIONS = 199;
const figure = (value: number | null, digits = 3) => (value === null ? "–" : value.toFixed(digits));

function table(title: string, rows: readonly Record<string, string | number | boolean>[]): void {
  const columns = Object.keys(rows[0]!);
  console.log(`\n${title}\n\n| ${columns.join(" | ")} |\n|${columns.map(() => " --- |").join("")}`);
  for (const row of rows) console.log(`| ${columns.map((column) => row[column]).join(" | ")} |`);
}

const levelFigures = ({ shares, layer, any }: Record<"shares" | "layer" | "any", number>) => ({
  "p ≤ 0.05, shares": figure(shares),
  "p ≤ 0.05, layer": figure(layer),
  "any q ≤ 0.05": figure(any),
});

const SMALL = { layers: 2, experts: 16, topK: 2, stick: 0.5, vocabulary: 300 };
const LARGE = { layers: 48, experts: 128, topK: 8, stick: 0.5, vocabulary: 3000 };

const TABLES: Readonly<Record<string, () => void | Promise<void>>> = {
  labels() {
    const levels = Object.keys(LENGTHS).flatMap((lengths) =>
      [3, 6, 10, 30, 100].flatMap((n) =>
        [
          [n, n],
          [n, 5 * n],
        ].flatMap((texts) =>
          [0.5, 1.2]
            .filter(() => texts[1]! <= 150)
            .map((topic) => ({
              ...{ lengths, texts, topic },
              ...levelOf({ lengths, texts, topic }, runs, PERMUTATIONS, n),
            })),
        ),
      ),
    );
    table(
      "Labels that mean nothing",
      levels.map(({ lengths, texts, topic, decides, ...level }) => ({
        lengths,
        texts: texts.join(" v "),
        topic,
        decides: decides ? "yes" : "no",
        ...levelFigures(level),
      })),
    );
  },

  async real() {
    const routing = await realRouting(process.cwd());
    const levels = Object.keys(LENGTHS).flatMap((lengths) =>
      [
        [6, 6],
        [10, 50],
        [30, 30],
      ].map((texts) => ({
        ...{ lengths, texts },
        ...realLevelOf(routing, { lengths, texts }, Math.ceil(runs / 2), PERMUTATIONS, texts[0]!),
      })),
    );
    table(
      `Labels that mean nothing, real routing of one domain (${routing.layers[0]!.length} texts, demo model, all its layers)`,
      levels.map(({ lengths, texts, ...level }) => ({
        lengths,
        texts: texts.join(" v "),
        ...levelFigures(level),
      })),
    );
  },

  "many-labels"() {
    const levels = [4, 10].flatMap((n) =>
      ["equal", "lognormal"].map((lengths) => {
        const texts = new Array<number>(70).fill(n);
        const condition = { lengths, texts, topic: 0.5 };
        return { lengths, n, ...levelOf(condition, Math.ceil(runs / 3), PERMUTATIONS, n) };
      }),
    );
    table(
      "70 labels that mean nothing",
      levels.map(({ lengths, n, ...level }) => ({ lengths, "texts a label": n, ...levelFigures(level) })),
    );
  },

  lists() {
    const lists = [
      ...[10, 30, 100].flatMap((texts) =>
        ([12, 40, "lognormal"] as const).flatMap((rows) =>
          [0, 0.5, 1.2].map((topic) => ({ of: { ...SMALL, texts, rows, topic }, runs })),
        ),
      ),
      ...[10, 30, 100].map((texts) => ({
        of: { ...SMALL, layers: 6, texts, rows: 40, topic: 0.5, planted: 2 },
        runs: Math.ceil(runs / 10),
      })),
      ...[30, 100].map((texts) => ({ of: { ...LARGE, texts, rows: 60, topic: 0.5, planted: 4 }, runs: 1 })),
    ];
    table(
      "Tokens and pairs of experts that are listed",
      lists.map(({ of, runs }) => {
        const found = listsOf(of, runs, of.texts);
        return {
          model: `${of.layers} × ${of.experts}`,
          texts: of.texts,
          rows: of.rows,
          topic: of.topic,
          "any token": figure(found.tokens),
          "any pair": figure(found.pairs),
          "planted tokens": "planted" in of ? figure(found.plantedTokens) : "–",
          "planted pairs": "planted" in of ? figure(found.plantedPairs) : "–",
          "other tokens": figure(found.otherTokens),
        };
      }),
    );
  },

  specialists() {
    const shapes = [
      { layers: 6, experts: 16, topK: 2, labels: 5 },
      { layers: 48, experts: 128, topK: 8, labels: 5 },
      { layers: 6, experts: 128, topK: 8, labels: 70 },
    ];
    const powers = shapes.flatMap((shape) =>
      [
        [6, 1],
        [30, 1],
        [30, 0.2],
      ].map(([texts, share]) => {
        const planted = { ...shape, texts: texts!, share: share!, specialists: Math.min(20, shape.experts) };
        return { ...planted, ...powerOf(planted, 999, 1) };
      }),
    );
    table(
      "Planted specialists",
      powers.map((of) => ({
        model: `${of.layers} × ${of.experts}`,
        labels: of.labels,
        "texts a label": of.texts,
        "of its label": `${100 * of.share} %`,
        found: `${of.found} of ${of.specialists}`,
        false: of.false,
      })),
    );
  },

  shifts() {
    const kinds = { captures: captureShifts, labels: labelShifts };
    const small = { layers: 2, experts: 16, topK: 2, rows: 20 };
    const levels = Object.entries(kinds).flatMap(([kind, shifts]) =>
      [6, 10, 30].map((texts) => {
        const made = Array.from({ length: runs }, (_, run) =>
          shifts({ ...small, texts, planted: 0, part: 0 }, PERMUTATIONS, 1000 * texts + run),
        );
        return { kind, texts, any: made.filter((found) => found.false > 0).length / runs };
      }),
    );
    table(
      "Shifts where there are none",
      levels.map(({ kind, texts, any }) => ({ of: kind, texts, "any q ≤ 0.05": figure(any) })),
    );
    const shapes = [
      { layers: 6, experts: 16, topK: 2, planted: 6 },
      { layers: 48, experts: 128, topK: 8, planted: 20 },
    ];
    const powers = Object.entries(kinds).flatMap(([kind, shifts]) =>
      shapes.flatMap((shape) =>
        [12, 30].flatMap((texts) =>
          [0.1, 0.3].map((part) => ({
            ...{ kind, texts, part, ...shape },
            ...shifts({ ...shape, texts, part, rows: 20 }, 999, texts),
          })),
        ),
      ),
    );
    table(
      "Planted shifts",
      powers.map((of) => ({
        of: of.kind,
        model: `${of.layers} × ${of.experts}`,
        texts: of.texts,
        "rows taken": `${100 * of.part} %`,
        found: `${of.found} of ${of.planted}`,
        false: of.false,
      })),
    );
  },

  intervals() {
    const coverages = [2, 3, 6, 10, 30, 100, 300].flatMap((texts) =>
      [0.5, 1.2].map((topic) => ({ texts, topic, ...coverageOf(texts, topic, runs, texts) })),
    );
    table(
      "95 % intervals of a share, texts drawn whole",
      coverages.map(({ texts, topic, covered, wilson, wrongly }) => ({
        texts,
        topic,
        covered: figure(covered),
        "rows as independent": figure(wilson),
        "called underused wrongly": figure(wrongly),
      })),
    );
  },

  "within-texts"() {
    const drifts = [6, 10, 30, 100].flatMap((texts) =>
      [0, 0.5, 0.95, 0.995].map((correlation) => ({
        ...{ texts, correlation },
        ...driftLevelOf({ texts, rows: 48, correlation }, runs, PERMUTATIONS, texts),
      })),
    );
    table(
      "Groups within texts that mean nothing, routing that drifts",
      drifts.map(({ texts, correlation, layer, any }) => ({
        texts,
        correlation,
        "p ≤ 0.05, layer": figure(layer),
        "any q ≤ 0.05": figure(any),
      })),
    );
  },

  flows() {
    const flows = [16, 64, 128, 256, 512].flatMap((experts) =>
      [4, 16, 64].flatMap((times) =>
        [0, 0.5, 0.9].map((keep) => ({
          experts,
          rows: times * experts,
          keep,
          ...flowOf(experts, times * experts, keep, 5, 1),
        })),
      ),
    );
    table(
      "Information between layers, bits",
      flows.map(({ experts, rows, keep, truth, mean }) => ({
        experts,
        rows,
        keep,
        planted: figure(truth, 2),
        found: mean === null ? "too few rows" : figure(mean, 2),
      })),
    );
  },
};

for (const name of asked.length > 0 ? asked : Object.keys(TABLES)) {
  const make = TABLES[name];
  if (!make) throw new Error(`no table "${name}"; there are ${Object.keys(TABLES).join(", ")}`);
  await make();
}
