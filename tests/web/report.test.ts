import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import { load } from "../../src/run/load.ts";
import { reportHtml } from "../../src/views/html/report.ts";

const found = inject("chromium");
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LAPTOP = { viewport: { width: 1200, height: 860 } } satisfies BrowserContextOptions;
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true } as const;

/** Five texts of each label: enough that the probe holds some out. */
const PROMPTS = readFileSync(join(packageRoot, "models/demo/prompts.jsonl"), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as { prompt: string; label: string })
  .filter(({ label }) => label === "python" || label === "math")
  .map(({ prompt, label }) => ({ prompt: prompt.slice(0, 160), label }));

describe.skipIf("missing" in found)(
  `the report in a browser${"missing" in found ? `: ${found.missing}` : ""}`,
  () => {
    let folder: string;
    let url: string;
    let browser: Browser;

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "moescope-report-"));
      await using llm = await load(join(packageRoot, "models/demo/demo-moe.gguf"), { threads: 1 });
      const capture = await llm.capture(PROMPTS, {
        maxTokens: 3,
        streams: ["router_logits", "expert_ids", "expert_weights", "hidden_states"],
      });
      const page = reportHtml(await analyzeCapture(capture, { permutations: 99 }));
      await writeFile(join(folder, "report.html"), page);
      url = pathToFileURL(join(folder, "report.html")).href;
      browser = await chromium.launch({
        executablePath: (found as { path: string }).path,
        args: ["--no-sandbox"],
      });
    }, 300_000);
    afterAll(async () => {
      await browser?.close();
      await rm(folder, { recursive: true, force: true });
    });

    async function open(options: BrowserContextOptions): Promise<{ page: Page; complaints: string[] }> {
      const page = await (await browser.newContext(options)).newPage();
      const complaints: string[] = [];
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) complaints.push(message.text());
      });
      page.on("request", (request) => {
        if (!/^(file|data):/.test(request.url())) complaints.push(`asked for ${request.url()}`);
      });
      await page.goto(url);
      return { page, complaints };
    }

    test("opens without a complaint under its own policy, with every section its links name", async () => {
      const { page, complaints } = await open(LAPTOP);
      const links = await page.locator("nav a").evaluateAll((all) => all.map((a) => a.getAttribute("href")!));
      expect(links).toEqual(
        [
          "completeness",
          "usage",
          "balance",
          "labels",
          "scores",
          "tokens",
          "classes",
          "drift",
          "texts",
          "coactivation",
          "locality",
          "hidden",
          "words",
        ].map((id) => `#${id}`),
      );
      for (const link of links) expect(await page.locator(link).count(), link).toBe(1);
      expect(await page.locator("#hidden ~ .scroll").first().locator("tbody tr").count()).toBe(5);
      expect(complaints).toEqual([]);
    });

    test("the policy stops a script that is not the report's own", async () => {
      const { page, complaints } = await open(LAPTOP);
      await page.evaluate(() => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'taken'";
        document.body.append(script);
      });
      expect(await page.title()).not.toBe("taken");
      expect(complaints.join()).toContain("Content Security Policy");
    });

    test.each([
      ["light", LAPTOP],
      ["dark", LAPTOP],
      ["dark", PHONE],
    ] as const)("axe finds nothing serious, %s", async (colorScheme, options) => {
      const { page } = await open({ ...options, colorScheme });
      await page.locator("summary").evaluateAll((all) => {
        for (const summary of all) (summary.parentElement as HTMLDetailsElement).open = true;
      });
      await page.evaluate(axeSource);
      const { violations } = await page.evaluate(() =>
        (globalThis as unknown as { axe: typeof axe }).axe.run(document, { resultTypes: ["violations"] }),
      );
      expect(
        violations
          .filter(({ impact }) => impact === "serious" || impact === "critical")
          .map(({ id, nodes }) => `${id} at ${nodes.map(({ target }) => target.join(" ")).join(", ")}`),
      ).toEqual([]);
    });

    test("a phone never scrolls sideways", async () => {
      const { page } = await open(PHONE);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(PHONE.viewport.width);
    });

    test("the theme follows the system, changes with the button and is kept", async () => {
      const { page } = await open({ ...LAPTOP, colorScheme: "light" });
      const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      expect(await background()).toBe("rgb(255, 255, 255)");
      await page.getByRole("button", { name: /light and dark/ }).click();
      await expect.poll(background).not.toBe("rgb(255, 255, 255)");
      const dark = await background();
      await page.reload();
      expect(await background()).toBe(dark);
      const other = await open({ ...LAPTOP, colorScheme: "dark" });
      expect(await other.page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe(dark);
    });

    test("maps are read by keyboard and by pointer", async () => {
      const { page } = await open(LAPTOP);
      const map = page.locator(".map").first();
      const readout = map.locator("output");
      for (let i = 0; i < 40 && !(await map.evaluate((of) => of === document.activeElement)); i++)
        await page.keyboard.press("Tab");
      await expect.poll(() => readout.textContent()).toMatch(/^layer 0, expert 0: /);
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowDown");
      await expect
        .poll(() => readout.textContent())
        .toMatch(/^layer 1, expert 1: [\d.]+ % of its tokens, [\d.]+ × fair share$/);
      const drift = page.getByRole("group", { name: /^Divergence of each part/ });
      await drift.locator(".cells").hover({ position: { x: 4, y: 4 } });
      await expect
        .poll(() => drift.locator("output").textContent())
        .toMatch(/^position 0, layer 0: [\d.]+ nats beyond chance$/);
    });
  },
);
