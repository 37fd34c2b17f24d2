/** Text that is HTML already. Only {@link html} and {@link trusted} make it. */
export interface Html {
  readonly html: string;
}

type Value = string | number | Html | null | false | readonly (string | number | Html | null | false)[];

/**
 * A template whose values are escaped, for elements' contents and quoted attributes alike: what comes from a model or
 * a prompt cannot become markup.
 */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return { html: String.raw({ raw: parts }, ...values.map(render)) };
}

/** Our own markup: style sheets, scripts, what was escaped before. */
export const trusted = (markup: string): Html => ({ html: markup });

function render(value: Value): string {
  if (value === null || value === false) return "";
  if (Array.isArray(value)) return value.map(render).join("");
  if (typeof value === "object") return (value as Html).html;
  return escapeHtml(String(value));
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (char) => ENTITIES[char]!);
