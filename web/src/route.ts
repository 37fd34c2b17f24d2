import { computed, signal } from "@preact/signals";

/** The views, in the order of their tabs. */
export const VIEWS = ["live", "usage", "tokens", "expert", "balance", "pairs", "atlas", "compare"] as const;
export type ViewName = (typeof VIEWS)[number];

export interface Route {
  readonly view: ViewName;
  /** What is looked at: capture, layer, expert, filters, the visible part of a map. */
  readonly params: Readonly<Record<string, string>>;
}

/** New values of parameters; `null` takes one away. */
export type Patch = Readonly<Record<string, string | number | null | undefined>>;

/**
 * Everything a link needs to show the same page to somebody else is in the address's fragment, so that the server has
 * one page and links work behind any path.
 */
export const route = signal<Route>(parse(location.hash));

function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const view = VIEWS.find((name) => name === path) ?? "usage";
  return { view, params: Object.fromEntries(new URLSearchParams(query)) };
}

function format({ view, params }: Route): string {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== "")).toString();
  return `#/${view}${query && `?${query}`}`;
}

function patched(params: Route["params"], patch: Patch): Route["params"] {
  const next: Record<string, string> = { ...params };
  for (const [key, value] of Object.entries(patch))
    if (value === null || value === undefined || value === "") delete next[key];
    else next[key] = String(value);
  return next;
}

/** Address of a view with some parameters changed, for links. */
export const href = (view: ViewName, patch: Patch = {}): string =>
  format({ view, params: patched(route.value.params, patch) });

/** Go to a view; the way back is kept. */
export function go(view: ViewName, patch: Patch = {}): void {
  const next = { view, params: patched(route.peek().params, patch) };
  if (format(next) !== format(route.peek())) push(next);
  route.value = next;
}

/** Change what the view shows. Steps that nobody would want to go back through replace the entry in the history. */
export function show(patch: Patch, { replace = true }: { readonly replace?: boolean } = {}): void {
  const next = { view: route.peek().view, params: patched(route.peek().params, patch) };
  if (format(next) === format(route.peek())) return;
  const what = Object.keys(patch).join();
  const goesOn = what === step.what && performance.now() - step.at < ONE_STEP;
  if (replace || goesOn) rewrite();
  else push(next);
  if (!replace) step = { what, at: performance.now() };
  route.value = next;
}

/** The address of exactly what is seen, to be shared. */
export function address(): string {
  settle();
  return location.href;
}

/**
 * The least time between two rewritings of the address, in milliseconds: browsers refuse those of a page that makes
 * more than some 200 in 30 s (Safari: 100), which is what a held key does.
 */
const REWRITE_EVERY = 350;
/** Changes of the same parameters so close together, in milliseconds, are one step on the way back. */
const ONE_STEP = 400;
let step = { what: "", at: Number.NEGATIVE_INFINITY };
let rewrittenAt = Number.NEGATIVE_INFINITY;
let timer: ReturnType<typeof setTimeout> | undefined;

function push(next: Route): void {
  settle();
  step = { what: "", at: Number.NEGATIVE_INFINITY };
  history.pushState(null, "", format(next));
}

function rewrite(): void {
  const wait = Math.max(0, rewrittenAt + REWRITE_EVERY - performance.now());
  timer ??= setTimeout(settle, wait);
}

/** Write what is not written yet. */
function settle(): void {
  if (timer === undefined) return;
  clearTimeout(timer);
  timer = undefined;
  rewrittenAt = performance.now();
  history.replaceState(null, "", format(route.peek()));
}

addEventListener("pagehide", settle);
addEventListener("popstate", () => {
  clearTimeout(timer);
  timer = undefined;
  route.value = parse(location.hash);
});

/** One parameter as a signal: views read only what they use, and draw again only when that changes. */
export const param = (name: string) => computed(() => route.value.params[name] ?? null);

/** A whole-number parameter; `null` where it is absent or no such number. */
export const numberParam = (name: string) =>
  computed(() => {
    const text = route.value.params[name];
    return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
  });
