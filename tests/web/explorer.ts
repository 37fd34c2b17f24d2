import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import { load } from "../../src/run/load.ts";

const run = promisify(execFile);
const main = join(packageRoot, "dist", "cli", "main.js");
const demo = join(packageRoot, "models", "demo");
const MODEL = join(demo, "demo-moe.gguf");

/** Enough texts of three domains to tell experts apart. */
const DOMAINS = ["python", "english", "math"];
const PROMPTS = readFileSync(join(demo, "prompts.jsonl"), "utf8")
  .trimEnd()
  .split("\n")
  .filter((line) => DOMAINS.includes((JSON.parse(line) as { label: string }).label));

/** Real captures of the demo model: one, the same with a rounded cache, and one that was interrupted. */
async function captureDemo(folder: string): Promise<void> {
  const prompts = join(folder, "prompts.jsonl");
  writeFileSync(prompts, `${PROMPTS.join("\n")}\n`);
  const capture = (...options: string[]) =>
    run(process.execPath, [main, "capture", MODEL, "--prompts", prompts, "--threads", "1", ...options]);
  await capture("--max-tokens", "4", "--kv-type", "q8_0", "--out", join(folder, "rounded"));
  const llm = await load(MODEL, { threads: 1 });
  const controller = new AbortController();
  await llm
    .capture(
      PROMPTS.map((line) => JSON.parse(line) as { prompt: string; label: string }),
      {
        into: join(folder, "interrupted"),
        signal: controller.signal,
        onProgress: ({ samples }) => samples >= 2 && controller.abort(new Error("enough")),
      },
    )
    .catch(() => {});
  await llm.close();
  // Last, so that it is the one that is shown first.
  await capture("--max-tokens", "4", "--out", join(folder, "demo"));
}

export interface Explorer extends AsyncDisposable {
  readonly url: string;
  readonly folder: string;
  readonly browser: Browser;
  json<T>(path: string): Promise<T>;
}

/** `moescope serve` as people run it, and a browser. */
export async function openExplorer(
  executablePath: string,
  { captures = true }: { readonly captures?: boolean } = {},
): Promise<Explorer> {
  const folder = mkdtempSync(join(tmpdir(), "moescope-explorer-"));
  if (captures) await captureDemo(folder);
  const options = ["--no-open", "--port", "0", "--threads", "1"];
  const server = spawn(process.execPath, [main, "serve", MODEL, folder, ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(server, "exit");
  let url = "";
  for await (const line of createInterface(server.stdout)) {
    url = /http:\/\/\S+/.exec(line)?.[0] ?? "";
    if (url) break;
  }
  server.stdout.resume();
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  return {
    url,
    folder,
    browser,
    json: async <T>(path: string) => (await (await fetch(`${url}api/${path}`)).json()) as T,
    async [Symbol.asyncDispose]() {
      await browser.close();
      server.kill("SIGINT");
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Of a page's tests: one that waits in vain tells what for before its time is over. */
export const PAGE_TESTS = { timeout: 240_000 };

export const LAPTOP = { viewport: { width: 1360, height: 860 } } satisfies BrowserContextOptions;
export const PHONE = {
  viewport: { width: 390, height: 844 },
  hasTouch: true,
  isMobile: true,
} satisfies BrowserContextOptions;

export interface OpenPage {
  readonly page: Page;
  /** What the browser complained about, e.g. what its content security policy refused. */
  readonly complaints: string[];
}

/** A page of the explorer. */
export async function openPage(
  { browser, url }: Explorer,
  hash: string,
  options: BrowserContextOptions = LAPTOP,
): Promise<OpenPage> {
  const context = await browser.newContext(options);
  // Of a machine that is busy with other things a page may get little.
  context.setDefaultTimeout(90_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(`${url}#/${hash}`);
  await settled(page);
  return { page, complaints };
}

/** Wait until nothing on the page is still loading. */
export const settled = async (page: Page): Promise<void> => {
  await page.waitForFunction(
    () => document.querySelector("main *") && !document.querySelector(".skeleton, [aria-busy=true]"),
  );
};

/** Go to a view of a page that is open, by its address, and wait until it is that view that stands there. */
export async function visit(page: Page, { url }: Explorer, view: string, query: string): Promise<void> {
  await page.goto(`${url}#/${view}?${query}`);
  await page.locator(`nav a[href^="#/${view}"][aria-current=page]`).waitFor();
  await settled(page);
}

/** The address's parameters as the page has them now; `page.url()` is told of a change some time after it. */
const paramsOf = async (page: Page): Promise<Record<string, string>> =>
  Object.fromEntries(
    new URLSearchParams((await page.evaluate(() => location.hash)).split("?")[1] ?? "").entries(),
  );

/** Wait until the address has come to name what is seen: it is written after a moment of rest. */
export const expectParams = (page: Page, params: Record<string, unknown>): Promise<void> =>
  expect.poll(() => paramsOf(page)).toMatchObject(params);
