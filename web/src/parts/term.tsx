import type { ComponentChildren } from "preact";
import { loadTerms, type TermText, terms } from "../data/words.ts";
import { hideTooltip, showTooltip } from "./tooltip.tsx";

/** A word that explains itself on hover, focus and tap, with its formula and where that comes from. */
export function Term({ name, children }: { readonly name: string; readonly children?: ComponentChildren }) {
  const term = terms.value[name];
  const show = (element: EventTarget | null) => {
    // The next try finds it.
    if (!term) return void loadTerms();
    const box = (element as HTMLElement).getBoundingClientRect();
    showTooltip(box.left - 14, box.bottom - 6, <TermCard term={term} />);
  };
  return (
    <button
      type="button"
      class="term"
      aria-description={term && described(term)}
      onPointerEnter={(event) => show(event.currentTarget)}
      onPointerLeave={hideTooltip}
      onFocus={(event) => show(event.currentTarget)}
      onBlur={hideTooltip}
      onClick={(event) => show(event.currentTarget)}
    >
      {children ?? term?.title ?? name}
    </button>
  );
}

const described = ({ text, formula, unit }: TermText) =>
  `${text}${formula ? ` Formula: ${formula}${unit ? `, in ${unit}` : ""}.` : ""}`;

function TermCard({ term: { title, unit, text, formula, source } }: { readonly term: TermText }) {
  return (
    <div class="term-card">
      <strong>{title}</strong>
      <p>{text}</p>
      {formula && (
        <p class="mono">
          {formula}
          {unit && `, in ${unit}`}
        </p>
      )}
      {source && <p class="muted small">{source}</p>}
    </div>
  );
}
