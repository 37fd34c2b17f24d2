import type { ComponentChildren } from "preact";
import { TERMS, type TermName, type TermText } from "./terms.ts";
import { hideTooltip, showTooltip } from "./tooltip.tsx";

/** A word that explains itself on hover, focus and tap, with its formula and where that comes from. */
export function Term({ name, children }: { readonly name: TermName; readonly children?: ComponentChildren }) {
  const term: TermText = TERMS[name];
  const show = (element: EventTarget | null) => {
    const box = (element as HTMLElement).getBoundingClientRect();
    showTooltip(box.left - 14, box.bottom - 6, <TermCard term={term} />);
  };
  return (
    <button
      type="button"
      class="term"
      aria-description={`${term.text}${term.formula ? ` Formula: ${term.formula}.` : ""}`}
      onPointerEnter={(event) => show(event.currentTarget)}
      onPointerLeave={hideTooltip}
      onFocus={(event) => show(event.currentTarget)}
      onBlur={hideTooltip}
      onClick={(event) => show(event.currentTarget)}
    >
      {children ?? term.title}
    </button>
  );
}

function TermCard({ term }: { readonly term: TermText }) {
  return (
    <div class="term-card">
      <strong>{term.title}</strong>
      <p>{term.text}</p>
      {term.formula && <p class="mono">{term.formula}</p>}
      {term.source && <p class="muted small">{term.source}</p>}
    </div>
  );
}
