import { setTheme, theme } from "../theme.ts";

const NEXT = { system: "light", light: "dark", dark: "system" } as const;
const SIGN = { system: "◐", light: "☀", dark: "☾" } as const;

export function ThemeSwitch() {
  const now = theme.value;
  const text = `Colours: ${now === "system" ? "as the system" : now}`;
  return (
    <button
      type="button"
      class="quiet icon"
      aria-label={text}
      title={text}
      onClick={() => setTheme(NEXT[now])}
    >
      {SIGN[now]}
    </button>
  );
}
