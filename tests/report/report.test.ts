import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import type { CaptureAnalysis } from "../../src/analysis/capture-analysis.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import { USAGE_TOP, viridis } from "../../src/views/colours.ts";
import { reportHtml } from "../../src/views/html/report.ts";
import { percent, probability, times } from "../../src/views/numbers.ts";
import { drive, syntheticRun } from "../store/synthetic.ts";

/** Random routing in two layers of four. */
let analysis: CaptureAnalysis;
let page: string;

beforeAll(async () => {
  const capture = await drive(syntheticRun({ experts: 24, lengths: [9, 8, 0, 12, 7, 10] }), new MemorySink());
  analysis = await analyzeCapture(capture, { permutations: 99 });
  page = reportHtml(analysis);
});

/** The maps of a page, by their label, with what the script reads. */
function mapsOf(html: string) {
  return [...html.matchAll(/<div class="map"[^>]*aria-label="([^"]*)"[\s\S]*?<\/output><\/div>/g)].map(
    ([map, label]) => {
      const data = (name: string) => unescaped(new RegExp(`data-${name}="([^"]*)"`).exec(map)![1]!);
      const bytes = Buffer.from(data("values"), "base64");
      return {
        label: label!,
        rows: JSON.parse(data("rows")) as string[],
        columns: JSON.parse(data("columns")) as string[],
        values: new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)),
        image: /src="data:image\/png;base64,([^"]*)"/.exec(map)![1]!,
        crosses: (/class="cross" d="([^"]*)"/.exec(map)?.[1]?.match(/M/g) ?? []).length,
        dots: [...(/class="dot" d="([^"]*)"/.exec(map)?.[1] ?? "").matchAll(/M(\d+)\.5 (\d+)\.5/g)].map(
          ([, x, y]) => `${y} ${x}`,
        ),
      };
    },
  );
}

const unescaped = (text: string) =>
  text
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");

/** Colour of each pixel of an indexed PNG, `null` where it is transparent. */
function pixels(base64: string): ([number, number, number] | null)[] {
  const file = Buffer.from(base64, "base64");
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    chunks.set(file.toString("latin1", at + 4, at + 8), file.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const width = chunks.get("IHDR")!.readUInt32BE(0);
  const height = chunks.get("IHDR")!.readUInt32BE(4);
  const palette = chunks.get("PLTE")!;
  const lines = inflateSync(chunks.get("IDAT")!);
  return Array.from({ length: width * height }, (_, i) => {
    const index = lines[Math.floor(i / width) * (width + 1) + 1 + (i % width)]!;
    return index === 0 ? null : ([...palette.subarray(3 * index, 3 * index + 3)] as [number, number, number]);
  });
}

describe("the report", () => {
  it("needs no network, and lets no script run but its own", () => {
    expect([...page.matchAll(/(?:src|href|action|data)="([^"]*)"/g)].map(([, url]) => url!)).toSatisfy(
      (urls: string[]) =>
        urls.length > 0 && urls.every((url) => url.startsWith("#") || url.startsWith("data:")),
    );
    expect(page).not.toMatch(/@import|url\(|https?:\/\//);
    const script = /<script>([\s\S]*?)<\/script>/.exec(page)![1]!;
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(page)![1]!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`'sha256-${createHash("sha256").update(script).digest("base64")}'`);
    // The script is JavaScript.
    expect(() => new Function(script)).not.toThrow();
  });

  it("shows text from outside as text", () => {
    const hostile = '</script></title><img src=x onerror="alert(1)">\u202e&\'';
    const labels = new Set(analysis.labels.map(({ label }) => label));
    const texts = new Set([
      "text",
      "before",
      "after",
      "why",
      "name",
      "architecture",
      "quantization",
      "version",
    ]);
    const changed = JSON.parse(JSON.stringify(analysis), (key, value) =>
      typeof value === "string" && (texts.has(key) || labels.has(value)) ? value + hostile : value,
    ) as CaptureAnalysis;
    const bad = reportHtml({
      ...changed,
      completeness: {
        ...changed.completeness,
        // No name of ours.
        streams: analysis.completeness.streams,
        complete: false,
        missing: [{ sample: 2, from: 0, to: null, why: hostile }],
      },
    });
    expect(bad.match(/<\/?script/g)).toEqual(["<script", "</script"]);
    expect(bad.match(/<img /g)).toHaveLength(page.match(/<img /g)!.length);
    expect(bad).not.toContain("<img src=x");
    expect(bad).not.toContain("\u202e");
    expect(bad.split("&lt;/script&gt;").length).toBeGreaterThan(50);
    // As many elements as before, but for the warning and the table of what is missing.
    expect(mapsOf(bad)).toHaveLength(mapsOf(page).length);
    expect(bad).toContain("<strong>Incomplete.</strong>");
    expect(bad).toMatch(/<td>2<\/td><td>0 to its end<\/td><td class="wide">&lt;\/script/);
  });

  it("has the analysis's usage, as values and as colours", () => {
    const map = mapsOf(page).find(({ label }) => label.startsWith("Usage of each expert by layer, against"))!;
    expect(map.rows).toEqual(["layer 1", "layer 3"]);
    const experts = analysis.layers.flatMap((layer) => layer.usage.experts);
    expect(map.values).toHaveLength(experts.length);
    const image = pixels(map.image);
    experts.forEach(({ share, count, timesFair }, i) => {
      expect(map.values[i]! / 65534).toBeCloseTo(share, 4);
      if (count === 0) expect(image[i]).toBeNull();
      else
        image[i]!.forEach((part, c) => {
          expect(Math.abs(part - viridis(timesFair / USAGE_TOP)[c]!)).toBeLessThanOrEqual(2);
        });
    });
    expect(map.crosses).toBe(experts.filter(({ count }) => count === 0).length);
  });

  it("has each label's usage, and dots exactly where it is significant", () => {
    // Random routing has no significant cells: some are made so.
    const layers = analysis.layers.map((layer, l) => {
      const { shares } = layer.specialization!;
      const qValues = shares.qValues.map((row, g) => row.map((_, e) => ((g + e + l) % 3 === 0 ? 0.01 : 0.5)));
      return { ...layer, specialization: { ...layer.specialization!, shares: { ...shares, qValues } } };
    });
    const maps = mapsOf(reportHtml({ ...analysis, layers }));
    for (const { label } of analysis.labels.filter((of) => of.label !== null)) {
      const map = maps.find((of) => of.label.startsWith(`Usage of each expert by layer for ${label}`))!;
      const expected: string[] = [];
      layers.forEach((layer, row) => {
        const usage = layer.usage.byLabel.find((of) => of.label === label)!;
        const group = layer.specialization.groups.indexOf(label!);
        usage.counts.forEach((count, expert) => {
          expect(map.values[row * 24 + expert]! / 65534).toBeCloseTo(count / usage.rows, 4);
          const q = layer.specialization.shares.qValues[group]![expert]!;
          if (q <= 0.05) expected.push(`${row} ${expert}`);
        });
      });
      expect(expected.length).toBeGreaterThan(0);
      expect(map.dots).toEqual(expected);
    }
  });

  it("has where each class of token goes, and how far each part of the texts is from the rest", () => {
    const maps = mapsOf(page);
    for (const { layer, tokenClasses, positions, phases } of analysis.layers) {
      const map = maps.find((of) => of.label.startsWith(`Usage of each expert of layer ${layer} by class`))!;
      const { groups, rows, counts } = tokenClasses!;
      expect(map.rows.length).toBe(Math.min(12, groups.length));
      map.rows.forEach((name, row) => {
        const group = groups.indexOf(name);
        counts[group]!.forEach((count, expert) => {
          expect(map.values[row * 24 + expert]! / 65534).toBeCloseTo(count / rows[group]!, 4);
        });
      });
      const drift = maps.find((of) => of.label.startsWith("Divergence of each part"))!;
      const parts = [...positions!.groups, phases!.groups[1]!];
      expect(drift.rows).toEqual(parts.map(({ name }) => (name === "generated" ? name : `position ${name}`)));
      expect(drift.columns).toEqual(["1", "3"]);
      parts.forEach(({ divergence, chanceDivergence }, row) => {
        const value = drift.values[row * 2 + drift.columns.indexOf(`${layer}`)]! / 65534;
        expect(value).toBeCloseTo(Math.max(0, divergence - chanceDivergence), 4);
      });
    }
  });

  it("has a section on hidden states only where they were captured", () => {
    const { layers } = analysis;
    expect(layers.some(({ hiddenStates }) => hiddenStates !== null)).toBe(true);
    expect(page).toContain('id="hidden"');
    const without = layers.map((layer) => ({ ...layer, hiddenStates: null }));
    expect(reportHtml({ ...analysis, layers: without })).not.toContain('id="hidden"');
  });

  it("has the numbers of the tables", () => {
    const text = unescaped(page.replace(/<[^>]*>/g, " ").replace(/\s+/g, " "));
    for (const { layer, balance, entropy, routerLosses } of analysis.layers)
      expect(text).toContain(
        `${layer} ${balance!.cv.toFixed(2)} ${balance!.maxVio.toFixed(2)} ${balance!.entropy.toFixed(3)} ${routerLosses!.loadBalancing.toFixed(2)} ${routerLosses!.zLoss.toFixed(2)} ${entropy!.mean!.toFixed(2)}`,
      );
    expect(text).toContain(probability(analysis.layers[0]!.specialization!.pValue));
    const found = { layer: 3, expert: 7, label: "label 1", count: 5, share: 0.625, timesFair: 7.5 };
    const specializedExperts = [{ ...found, difference: 0.25, halfWidth: 0.125, pValue: 0.01, qValue: 0.04 }];
    expect(
      unescaped(
        reportHtml({ ...analysis, specializedExperts })
          .replace(/<[^>]*>/g, " ")
          .replace(/\s+/g, " "),
      ),
    ).toContain(`label 1 L3 E7 ${percent(0.625)} ${times(7.5)} +25 points ± 12.5 5 p = 0.010 q = 0.040`);
    const interval: [number, number] = [1.5, 3.5];
    const together = [{ a: 3, b: 17, count: 5, expected: 2, lift: 2.5, interval, qValue: 0.01 }];
    const layers = analysis.layers.map((layer) => ({
      ...layer,
      coactivation: { ...layer.coactivation!, together },
    }));
    expect(reportHtml({ ...analysis, layers })).toContain("Together: E3 E17 2.5× (q = 0.010)");
  });

  it("says what a dense model or a capture without labels lacks", () => {
    const dense = reportHtml({
      ...analysis,
      layers: [],
      specializedExperts: [],
      flows: [],
      paths: [],
      texts: [],
    });
    expect(dense).toContain("a dense model has no experts");
    const plain = reportHtml({
      ...analysis,
      layers: analysis.layers.map((layer) => ({ ...layer, specialization: null })),
    });
    expect(plain).toContain("fewer than two labels");
  });

  it("stays small for a large model", async () => {
    const capture = await drive(
      syntheticRun({ experts: 256, moeLayers: [0, 1], lengths: Array.from({ length: 12 }, () => 40) }),
      new MemorySink(),
    );
    const small = await analyzeCapture(capture, { permutations: 9 });
    const layers = Array.from({ length: 61 }, (_, layer) => ({ ...small.layers[layer % 2]!, layer }));
    const strips = small.texts.map((strip) => ({ ...strip, layers: layers.map(({ layer }) => layer) }));
    const large = {
      ...small,
      layers,
      texts: strips.map((strip) => ({
        ...strip,
        best: layers.map((_, i) => strip.best[i % 2]!),
        entropy: layers.map((_, i) => strip.entropy![i % 2]!),
      })),
      specializedExperts: Array.from({ length: 50_000 }, (_, i) => ({
        layer: i % 61,
        expert: i % 256,
        label: "label 0",
        count: 1,
        share: 0.5,
        timesFair: 2,
        difference: 0.4,
        halfWidth: null,
        pValue: 0.01,
        qValue: 0.01,
      })),
      completeness: {
        ...small.completeness,
        missing: Array.from({ length: 100_000 }, (_, sample) => ({ sample, from: 0, to: null, why: "x" })),
      },
    };
    expect(reportHtml(large).length).toBeLessThan(2e6);
  });
});
