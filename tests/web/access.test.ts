import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type axe from "axe-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import {
  type Explorer,
  expectParams,
  LAPTOP,
  openExplorer,
  openPage,
  PAGE_TESTS,
  PHONE,
  settled,
  visit,
} from "./explorer.ts";

const found = inject("chromium");
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const VIEWS = ["live", "usage", "tokens", "expert", "balance", "pairs", "atlas", "compare"];
/** Views with something chosen, so that all their parts are there. */
const CHOSEN = "layer=1&expert=3&row=5&label=python&blabel=math";

describe.skipIf("missing" in found)(
  `the explorer for everybody${"missing" in found ? `: ${found.missing}` : ""}`,
  PAGE_TESTS,
  () => {
    let explorer: Explorer;
    beforeAll(async () => {
      explorer = await openExplorer((found as { path: string }).path);
    }, 300_000);
    afterAll(() => explorer?.[Symbol.asyncDispose]());

    test.each(["light", "dark"] as const)("axe finds nothing serious, %s", async (colorScheme) => {
      const { page } = await openPage(explorer, `usage?${CHOSEN}`, { ...LAPTOP, colorScheme });
      const faults: string[] = [];
      for (const view of VIEWS) {
        await visit(page, explorer, view, CHOSEN);
        await page.evaluate(axeSource);
        const { violations } = await page.evaluate(() =>
          (globalThis as unknown as { axe: typeof axe }).axe.run(document, { resultTypes: ["violations"] }),
        );
        for (const { id, impact, nodes } of violations)
          if (impact === "serious" || impact === "critical")
            faults.push(`${view}: ${id} at ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
      }
      expect(faults).toEqual([]);
    });

    test("a phone never scrolls sideways", async () => {
      const { page, complaints } = await openPage(explorer, `usage?${CHOSEN}`, PHONE);
      const wide: string[] = [];
      for (const view of VIEWS) {
        await visit(page, explorer, view, CHOSEN);
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        if (width > PHONE.viewport.width) wide.push(`${view}: ${width}`);
      }
      expect(wide).toEqual([]);
      expect(complaints).toEqual([]);
    });

    test("by keyboard: to every view, its map, its keys, and back", async () => {
      const { page } = await openPage(explorer, "usage");
      // The first stop leads past the head of the page.
      await page.keyboard.press("Tab");
      expect(await page.evaluate(() => document.activeElement?.textContent?.trim())).toBe("Skip to the view");
      await page.keyboard.press("Enter");
      expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
      let role = "";
      for (let i = 0; i < 30 && role !== "application"; i++) {
        await page.keyboard.press("Tab");
        role = await page.evaluate(() => document.activeElement?.getAttribute("role") ?? "");
      }
      expect(role).toBe("application");
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("ArrowDown");
      await expect.poll(() => page.getByRole("status").last().textContent()).toMatch(/^Layer 1, expert 0: /);
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "Layer 1, expert 0", exact: true }).waitFor();

      await page.keyboard.press("?");
      const help = page.getByRole("dialog");
      await help.getByText("search tokens").waitFor();
      await page.keyboard.press("Escape");
      await help.waitFor({ state: "detached" });

      for (const [place, view] of VIEWS.entries()) {
        await page.keyboard.press(`${place + 1}`);
        await expect.poll(() => new URL(page.url()).hash).toMatch(new RegExp(`^#/${view}\\b`));
      }
      await page.keyboard.press("2");
      await page.keyboard.press("c");
      await expect.poll(() => new URL(page.url()).hash).toMatch(/^#\/compare/);
      await page.goBack();
      await expect.poll(() => new URL(page.url()).hash).toMatch(/^#\/usage/);
      await expectParams(page, { layer: "1" });
      await page.keyboard.press("/");
      await expect
        .poll(() => page.evaluate(() => document.activeElement?.getAttribute("type")))
        .toBe("search");
    });

    test("the theme is kept", async () => {
      const { page } = await openPage(explorer, "usage", { ...LAPTOP, colorScheme: "light" });
      const background = () =>
        page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
      const light = await background();
      await page.getByRole("button", { name: /^Colours/ }).click();
      await page.getByRole("button", { name: /^Colours/ }).click();
      await expect.poll(background).not.toBe(light);
      const dark = await background();
      await page.reload();
      await settled(page);
      expect(await background()).toBe(dark);
    });

    test("a term explains itself with its formula", async () => {
      const { page } = await openPage(explorer, "balance?layer=1");
      await page.getByRole("button", { name: "MaxVio" }).first().focus();
      const tip = page.getByRole("tooltip");
      await tip.getByText("(max load − mean load) / mean load").waitFor();
      await tip.getByText("arXiv:2408.15664").waitFor();
    });
  },
);

describe.skipIf("missing" in found)("an explorer without captures", PAGE_TESTS, () => {
  let explorer: Explorer;
  beforeAll(async () => {
    explorer = await openExplorer((found as { path: string }).path, { captures: false });
  }, 120_000);
  afterAll(() => explorer?.[Symbol.asyncDispose]());

  test("says what to run, and runs the demo", async () => {
    const { page } = await openPage(explorer, "usage");
    await page.getByRole("heading", { name: "No captures yet" }).waitFor();
    await page.getByText("npx moescope capture").waitFor();
    await page.getByRole("button", { name: "Run the demo" }).click();
    await page.getByRole("application", { name: /^Usage of experts/ }).waitFor({ timeout: 200_000 });
    await page.getByText("of 42 samples").waitFor();
  });
});
