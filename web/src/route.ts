import { batch, computed, signal } from "@preact/signals";

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
  if (format(next) !== format(route.peek())) history.pushState(null, "", format(next));
  route.value = next;
}

/** Change what the view shows. Steps that nobody would want to go back through replace the entry in the history. */
export function show(patch: Patch, { replace = true }: { readonly replace?: boolean } = {}): void {
  const next = { view: route.peek().view, params: patched(route.peek().params, patch) };
  if (format(next) === format(route.peek())) return;
  if (replace) history.replaceState(null, "", format(next));
  else history.pushState(null, "", format(next));
  route.value = next;
}

addEventListener("popstate", () => {
  batch(() => {
    route.value = parse(location.hash);
  });
});

/** One parameter as a signal: views read only what they use, and draw again only when that changes. */
export const param = (name: string) => computed(() => route.value.params[name] ?? null);

/** A whole-number parameter; `null` where it is absent or no such number. */
export const numberParam = (name: string) =>
  computed(() => {
    const text = route.value.params[name];
    return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
  });
