import { signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const KEY = "moescope.theme";

const stored = localStorage.getItem(KEY);
export const theme = signal<Theme>(stored === "light" || stored === "dark" ? stored : "system");

const darkSystem = matchMedia("(prefers-color-scheme: dark)");

/** Values that were read: asking for a style in the middle of a frame makes the browser work it out again. */
const tokens = new Map<string, string>();

/** Counts changes of what is drawn in the theme's colours; canvases read it to know that they must draw again. */
export const themeVersion = signal(0);

export const isDark = () => theme.peek() === "dark" || (theme.peek() === "system" && darkSystem.matches);

function apply(): void {
  if (theme.peek() === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.peek();
  tokens.clear();
  themeVersion.value++;
}

export function setTheme(next: Theme): void {
  theme.value = next;
  if (next === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, next);
  apply();
}

darkSystem.addEventListener("change", apply);
apply();

/** A design token's value for drawing on a canvas. */
export function token(name: string): string {
  let value = tokens.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    tokens.set(name, value);
  }
  return value;
}
