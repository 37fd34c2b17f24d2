import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { CaptureList } from "../../src/server/questions/captures.ts";
import type { RowColumns } from "../../src/server/questions/rows.ts";
import type { TokenRouting } from "../../src/server/questions/token.ts";
import type { AnalysisOverview } from "../../src/views/facts/analysis.ts";
import type { SimilarityFacts } from "../../src/views/facts/similarity.ts";
import type { UsageFacts } from "../../src/views/facts/usage.ts";
import { type Explorer, expectParams, openExplorer, openPage, PAGE_TESTS, settled } from "./explorer.ts";

const found = inject("chromium");

describe.skipIf("missing" in found)(
  `the explorer's views${"missing" in found ? `: ${found.missing}` : ""}`,
  PAGE_TESTS,
  () => {
    let explorer: Explorer;
    let id: string;
    let interrupted: string;
    let rounded: string;

    beforeAll(async () => {
      explorer = await openExplorer((found as { path: string }).path);
      const { captures } = await explorer.json<CaptureList>("captures");
      const idOf = (name: string) => captures.find((of) => of.name === name)!.id;
      [id, interrupted, rounded] = [idOf("demo"), idOf("interrupted"), idOf("rounded")];
    }, 300_000);
    afterAll(() => explorer?.[Symbol.asyncDispose]());

    const exported = async (page: Page, kind: "CSV" | "PNG"): Promise<Buffer> => {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: kind, exact: true }).click(),
      ]);
      return readFile(await download.path());
    };
    const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47]);

    test("usage: an expert that is chosen tells what the capture says, and its address shows the same", async () => {
      const { page, complaints } = await openPage(explorer, `usage?c=${id}`);
      const map = page.getByRole("application", { name: /^Usage of experts/ });
      await map.focus();
      for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
      await expectParams(page, { layer: "1", expert: "1" });
      const { layers } = await explorer.json<UsageFacts>(`captures/${id}/usage`);
      const { counts, rows } = layers[1]!;
      const said = `${counts[1]!.toLocaleString("en")} of ${rows.toLocaleString("en")}`;
      await page.getByText(said).waitFor();
      const again = await openPage(explorer, (await page.evaluate(() => location.hash)).slice(2));
      await again.page.getByText(said).waitFor();

      const csv = (await exported(page, "CSV")).toString().trimEnd().split("\r\n");
      expect(csv).toHaveLength(1 + 6 * 16);
      expect(csv[1 + 16 + 1]!.split(",").slice(0, 4).map(Number)).toEqual([1, 1, rows, counts[1]]);
      expect((await exported(page, "PNG")).subarray(0, 4)).toEqual(PNG);
      expect([...complaints, ...again.complaints]).toEqual([]);
    });

    test("usage: a held key moves cell by cell, and is one step on the way back", async () => {
      const { page, complaints } = await openPage(explorer, `usage?c=${id}&layer=0&expert=0`);
      await page.getByRole("application", { name: /^Usage of experts/ }).focus();
      const steps = await page.evaluate(() => {
        const before = history.length;
        for (let i = 0; i < 60; i++)
          document.activeElement!.dispatchEvent(
            new KeyboardEvent("keydown", { key: i % 12 === 11 ? "ArrowDown" : "ArrowRight", bubbles: true }),
          );
        return history.length - before;
      });
      // At the last expert it stays.
      await expectParams(page, { layer: "5", expert: "15" });
      expect(steps).toBeLessThan(5);
      expect(complaints).toEqual([]);
    });

    test("usage: a label's map is that of its rows", async () => {
      const { page } = await openPage(explorer, `usage?c=${id}&layer=2&expert=14&label=math`);
      const { layers } = await explorer.json<UsageFacts>(`captures/${id}/usage?label=math`);
      await page.getByText(`${layers[2]!.counts[14]!.toLocaleString("en")} of ${layers[2]!.rows}`).waitFor();
      await page.getByRole("combobox", { name: "Label" }).selectOption("python");
      await settled(page);
      const python = await explorer.json<UsageFacts>(`captures/${id}/usage?label=python`);
      await page.getByText(`${python.layers[2]!.counts[14]} of ${python.layers[2]!.rows}`).waitFor();
      await page.goBack();
      await expectParams(page, { label: "math" });
    });

    test("usage: what stands out is what the analysis found", async () => {
      const { page } = await openPage(explorer, `usage?c=${id}`);
      const { specializedExperts } = await explorer.json<AnalysisOverview>(`captures/${id}/analysis`);
      expect(specializedExperts.length).toBeGreaterThan(0);
      const { layer, expert, label } = specializedExperts[0]!;
      await page.getByRole("button", { name: new RegExp(`L${layer} E${expert} ${label}`) }).click();
      await page.getByRole("heading", { name: `Layer ${layer}, expert ${expert}`, exact: true }).waitFor();
    });

    test("tokens: found by text, with the experts that served them", async () => {
      const { page, complaints } = await openPage(explorer, `tokens?c=${id}`);
      await page.keyboard.press("/");
      await page.locator('input[type="search"]:focus').waitFor();
      await page.keyboard.type("the");
      await page.keyboard.press("Enter");
      const hits = await explorer.json<RowColumns>(`captures/${id}/rows?search=the`);
      expect(hits.total).toBeGreaterThan(1);
      await page.locator(".hits", { hasText: `${hits.total}` }).waitFor();
      await page.keyboard.press("Enter");
      await page.locator(".hits", { hasText: `1 of ${hits.total}` }).waitFor();
      await expectParams(page, { row: `${hits.row[0]}` });
      const token = await explorer.json<TokenRouting>(`captures/${id}/tokens/${hits.row[0]}`);
      const { layer, experts, weights } = token.layers[3]!;
      // Texts that only screen readers get are blocks of their own, with spaces around them.
      const [expert, weight] = [experts[0], weights![0]!.toFixed(2).replace(".", "\\.")];
      const name = new RegExp(`^Layer ${layer}, expert ${expert} ?, weight ${weight}$`);
      await page.getByRole("button", { name }).waitFor();
      expect(complaints).toEqual([]);
    });

    test("tokens: zoom and pan are in the address and in the CSV", async () => {
      const { page } = await openPage(explorer, `tokens?c=${id}`);
      await page.getByRole("application", { name: /^Tokens by entropy/ }).focus();
      for (const key of ["w", "w", "w", "w", "d"]) await page.keyboard.press(key);
      const { captures } = await explorer.json<CaptureList>("captures");
      const { rows } = captures.find((of) => of.id === id)!;
      // Four times nearer by 1.4 around the middle, then 15 % of what is seen to the right: no key is lost.
      const seen = rows / 1.4 ** 4;
      const x = Math.round((rows - seen) / 2 + 0.15 * seen);
      await expectParams(page, { x: `${x}`, w: `${Math.round(seen)}` });
      await settled(page);
      const lines = (await exported(page, "CSV")).toString().trimEnd().split("\r\n");
      expect(Number(lines[1]!.split(",")[0])).toBeCloseTo(x, -0.5);
      const [row, tokens, ...entropies] = lines[20]!.split(",").map(Number);
      expect(tokens).toBe(1);
      const { layers } = await explorer.json<TokenRouting>(`captures/${id}/tokens/${row}`);
      expect(entropies).toEqual(layers.map(({ entropy }) => expect.closeTo(entropy!, 4)));
    });

    test.each(["margin", "top_weight", "top_expert"])("tokens: by %s", async (measure) => {
      const { page, complaints } = await openPage(explorer, `tokens?c=${id}&m=${measure}&sample=2`);
      await page.getByRole("list", { name: "Tokens in view" }).locator(".token").first().waitFor();
      await expect.poll(() => filled(page)).toBeGreaterThan(0.5);
      expect(complaints).toEqual([]);
    });

    test("expert: its card", async () => {
      const { page, complaints } = await openPage(explorer, `expert?c=${id}&layer=2&expert=14`);
      for (const name of ["How much it works", "Which samples it serves", "Which kinds of tokens"])
        await page.getByRole("heading", { name }).waitFor();
      const { layers } = await explorer.json<UsageFacts>(`captures/${id}/usage?label=math`);
      const share = page.getByRole("row", { name: /^math/ });
      expect(await share.locator(".bar").getAttribute("title")).toBe(
        `${layers[2]!.counts[14]} of ${layers[2]!.rows} tokens`,
      );
      // The experts of other layers that serve the same tokens, nearest first.
      const { layers: alike } = await explorer.json<SimilarityFacts>(`captures/${id}/similarity/2/14`);
      const nearest = alike
        .filter(({ layer }) => layer !== 2)
        .flatMap(({ layer, phi }) =>
          phi.map((value, of) => ({ value: value ?? 0, name: `L${layer} E${of}` })),
        )
        .sort((a, b) => b.value - a.value)[0]!;
      const first = page.locator(".card", { hasText: "serve the same tokens" }).locator("li").first();
      await expect.poll(() => first.textContent()).toContain(nearest.value.toFixed(2));
      expect(await first.textContent()).toContain(nearest.name);
      await page.keyboard.press("ArrowRight");
      await page.getByRole("heading", { name: "Layer 2, expert 15", exact: true }).waitFor();
      expect((await exported(page, "CSV")).toString()).toMatch(/^layer,expert,kind/);
      expect(complaints).toEqual([]);
    });

    test("live: tokens come with their experts and can be kept", async () => {
      const { page, complaints } = await openPage(explorer, "live");
      await page.getByLabel("Text to continue").fill("The sea");
      await page.getByRole("spinbutton", { name: "tokens" }).fill("5");
      await page.getByRole("button", { name: "Continue the text" }).click();
      await page.getByRole("button", { name: "open as a capture" }).waitFor();
      const tokens = page.getByRole("list", { name: "Tokens of the run" }).locator(".token");
      // The fifth was chosen and not run.
      await expect.poll(() => tokens.locator("xpath=self::*[contains(@class,'generated')]").count()).toBe(4);
      await expect.poll(() => tokens.last().getAttribute("title")).toMatch(/no routing/);
      await tokens.first().click();
      await page.getByText("kept", { exact: false }).waitFor();
      await expect.poll(() => page.locator(".routing .chip").count()).toBe(6 * 2);
      await expectParams(page, { prompt: "The sea" });
      await page.getByRole("button", { name: "open as a capture" }).click();
      await page.getByRole("heading", { name: "Tokens", exact: true }).waitFor();
      expect(complaints).toEqual([]);
    });

    test("live: what another app runs through the OpenAI-compatible API is shown as it comes", async () => {
      const { page } = await openPage(explorer, "live");
      const live = page.waitForResponse((response) => response.url().endsWith("/api/live"));
      await page.getByRole("button", { name: "Watch other apps" }).click();
      await live;
      const answer = await fetch(`${explorer.url}v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ prompt: "2 + 2", max_tokens: 3 }),
      });
      const { choices, usage } = (await answer.json()) as {
        choices: { text: string }[];
        usage: { prompt_tokens: number };
      };
      const tokens = page.getByRole("list", { name: "Tokens of the run" }).locator("button.token");
      await expect.poll(() => tokens.count()).toBe(usage.prompt_tokens + 2);
      // The token that was chosen last comes with the run's end.
      const list = page.getByRole("list", { name: "Tokens of the run" });
      await expect
        .poll(async () => {
          const text = (await list.textContent())!.replaceAll("·", " ").replaceAll("↵", "\n");
          return text.slice(-choices[0]!.text.length);
        })
        .toBe(choices[0]!.text);
    });

    test.each([
      ["balance", "Balance"],
      ["pairs", "Pairs and flow"],
      ["atlas", "Atlas of experts"],
    ])("%s draws and exports", async (view, heading) => {
      const { page, complaints } = await openPage(explorer, `${view}?c=${id}&layer=3`);
      await page.getByRole("heading", { level: 1, name: new RegExp(heading) }).waitFor();
      const lines = (await exported(page, "CSV")).toString().trimEnd().split("\r\n");
      expect(lines.length).toBe(1 + (view === "pairs" ? 16 * 16 : 6 * 16));
      const picture = await exported(page, "PNG");
      expect(picture.subarray(0, 4)).toEqual(PNG);
      // An empty sheet of this size compresses to less.
      expect(picture.length).toBeGreaterThan(8000);
      expect(complaints).toEqual([]);
    });

    test("compare: two captures, and two labels of one", async () => {
      const { page, complaints } = await openPage(explorer, `compare?c=${id}&b=${rounded}`);
      await page.getByRole("heading", { name: "Difference, B − A" }).waitFor();
      await page
        .getByRole("heading", { name: /Tokens that moved most|By layer/ })
        .first()
        .waitFor();
      const labels = await openPage(explorer, `compare?c=${id}&label=python&blabel=math`);
      const lines = (await exported(labels.page, "CSV")).toString().trimEnd().split("\r\n");
      const [a, b] = await Promise.all(
        ["python", "math"].map((label) => explorer.json<UsageFacts>(`captures/${id}/usage?label=${label}`)),
      );
      const times = ({ layers, fairShare }: UsageFacts) =>
        layers[2]!.counts[14]! / layers[2]!.rows / fairShare;
      const [, , left, right] = lines[1 + 2 * 16 + 14]!.split(",").map(Number);
      expect(left).toBeCloseTo(times(a!), 5);
      expect(right).toBeCloseTo(times(b!), 5);
      expect([...complaints, ...labels.complaints]).toEqual([]);
    });

    test("what is missing is told above every view", async () => {
      const { page } = await openPage(explorer, `usage?c=${interrupted}`);
      const banner = page.locator("details.completeness");
      await expect.poll(() => banner.textContent()).toContain("Incomplete");
      await banner.locator("summary").click();
      expect(await banner.textContent()).toContain("SHA-256");
      const whole = await openPage(explorer, `usage?c=${id}`);
      await expect.poll(() => whole.page.locator("details.completeness").textContent()).toContain("Complete");
    });

    test("an error says what to do, and trying again helps", async () => {
      const { page } = await openPage(explorer, `balance?c=${id}`);
      await page.route("**/usage*", (route) => route.abort());
      await page.getByRole("link", { name: "Usage" }).click();
      await page.getByRole("alert").getByText("moescope serve").waitFor();
      await page.unroute("**/usage*");
      await page.getByRole("button", { name: "Try again" }).click();
      await page.getByRole("application", { name: /^Usage of experts/ }).waitFor();
    });

    test("a capture that is not here is said to be so", async () => {
      const { page } = await openPage(explorer, "usage?c=nothing-of-that-name");
      await page.getByRole("heading", { name: "That capture is not here" }).waitFor();
    });
  },
);

/** Part of the first map's pixels that are not one colour, i.e. were drawn. */
const filled = (page: Page): Promise<number> =>
  page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>(".heatmap canvas")!;
    const { data } = canvas.getContext("2d")!.getImageData(60, 20, canvas.width - 80, 60);
    const pixels = new Uint32Array(data.buffer);
    const seen = new Map<number, number>();
    for (const pixel of pixels) seen.set(pixel, (seen.get(pixel) ?? 0) + 1);
    return 1 - Math.max(...seen.values()) / pixels.length;
  });
