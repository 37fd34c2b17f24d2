import { signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const KEY = "moescope.theme";

const stored = localStorage.getItem(KEY);
export const theme = signal<Theme>(stored === "light" || stored === "dark" ? stored : "system");

const darkSystem = matchMedia("(prefers-color-scheme: dark)");

/** Counts changes of what is drawn in the theme's colours; canvases read it to know that they must draw again. */
export const themeVersion = signal(0);

export const isDark = () => theme.peek() === "dark" || (theme.peek() === "system" && darkSystem.matches);

function apply(): void {
  if (theme.peek() === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.peek();
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
export const token = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
