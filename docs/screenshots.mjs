/**
 * Take the pictures of docs/explorer.md: the explorer on captures of the demo model.
 *
 *     npm run screenshots [-- NAME ...]
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const main = path("../dist/cli/main.js");
const model = path("../models/demo/demo-moe.gguf");
const prompts = path("../models/demo/prompts.jsonl");
const out = path("explorer");
const BROWSER = process.env.MOESCOPE_TEST_CHROMIUM ?? "/usr/bin/chromium";

const LAPTOP = { viewport: { width: 1280, height: 900 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** File, address, theme, screen, and what is done before the picture. */
const PICTURES = [
  ["usage", "usage?layer=2&expert=14", "light", LAPTOP],
  ["usage-dark", "usage?layer=2&expert=14", "dark", LAPTOP],
  ["tokens", "tokens?sample=3&x=372&w=110&row=400&layer=3", "dark", LAPTOP],
  ["expert", "expert?layer=2&expert=3", "light", LAPTOP],
  ["live", "live", "dark", LAPTOP, live],
  ["balance", "balance?layer=3", "light", LAPTOP],
  ["pairs", "pairs?layer=0", "light", LAPTOP],
  ["atlas", "atlas?layer=2&expert=14", "dark", LAPTOP],
  ["compare", "compare?label=python&blabel=math", "light", LAPTOP],
  ["phone", "usage?layer=2&expert=14", "light", PHONE],
];

const folder = mkdtempSync(join(tmpdir(), "moescope-screenshots-"));
mkdirSync(out, { recursive: true });
const capture = ["capture", model, "--prompts", prompts, "--max-tokens", "12", "--out", join(folder, "demo")];
execFileSync(process.execPath, [main, ...capture], { stdio: ["ignore", "ignore", "inherit"] });
const server = spawn(process.execPath, [main, "serve", model, folder, "--no-open", "--port", "0"], {
  stdio: ["ignore", "pipe", "inherit"],
});
let url = "";
for await (const line of createInterface(server.stdout)) {
  url = /http:\/\/\S+/.exec(line)?.[0] ?? "";
  if (url) break;
}
server.stdout.resume();
const browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
try {
  const wanted = process.argv.slice(2);
  for (const [name, hash, colorScheme, screen, act] of PICTURES) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const context = await browser.newContext({ ...screen, colorScheme });
    const page = await context.newPage();
    await page.goto(`${url}#/${hash}`);
    await settled(page);
    await act?.(page);
    writeFileSync(join(out, `${name}.webp`), await asWebp(context, await page.screenshot()));
    console.log(`docs/explorer/${name}.webp`);
    await context.close();
  }
} finally {
  await browser.close();
  server.kill("SIGINT");
  await once(server, "exit");
  rmSync(folder, { recursive: true, force: true });
}

/** A third of the bytes, in a repository that people clone. */
async function asWebp(context, png) {
  const page = await context.newPage();
  const url = await page.evaluate(
    async (source) => {
      const picture = new Image();
      picture.src = source;
      await picture.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
      canvas.getContext("2d").drawImage(picture, 0, 0);
      return canvas.toDataURL("image/webp", 0.85);
    },
    `data:image/png;base64,${png.toString("base64")}`,
  );
  return Buffer.from(url.slice(url.indexOf(",") + 1), "base64");
}

async function settled(page) {
  await page.waitForFunction(
    () => document.querySelector("main *") && !document.querySelector(".skeleton, [aria-busy=true]"),
    null,
    { timeout: 120_000 },
  );
  // The last drawing is a frame away.
  await page.waitForTimeout(300);
}

async function live(page) {
  await page.getByRole("button", { name: "Continue the text" }).click();
  await page.getByRole("button", { name: "open as a capture" }).waitFor({ timeout: 300_000 });
  await page.locator(".strip .token").nth(7).click();
  await page.mouse.move(640, 780);
  await settled(page);
}
