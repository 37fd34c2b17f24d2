import { useEffect, useRef, useState } from "preact/hooks";
import type { ViewProps } from "../app.tsx";
import { useRows } from "../data/routing.ts";
import { param, route, show } from "../route.ts";
import { chosenRow } from "../selection.ts";
import { announce } from "./announce.tsx";
import { count } from "./numbers.ts";

const searched = param("q");
/** Hits that can be gone through; the number of all is told. */
const MAX_HITS = 500;
/** Columns around a hit that was jumped to. */
const CLOSE = 120;

/** Find tokens by their text; enter goes from one to the next. */
export function TokenSearch({ capture }: ViewProps) {
  const text = searched.value;
  const hits = useRows(capture, text ? { from: 0, limit: MAX_HITS, search: text } : null);
  const [typed, setTyped] = useState(text ?? "");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (route.peek().params.find === undefined) return;
    show({ find: null });
    field.current?.focus();
  }, []);
  const rows = text ? (hits.data?.row ?? []) : [];
  const at = rows.indexOf(chosenRow.value ?? -1);
  const step = (by: number) => {
    if (rows.length === 0) return;
    const next = rows[(at + by + rows.length) % rows.length]!;
    const start = Math.max(0, next - CLOSE / 2);
    show({ row: next, x: start, w: Math.min(capture.rows, CLOSE) });
    announce(`Hit ${((at + by + rows.length) % rows.length) + 1} of ${rows.length}, token ${next}`);
  };
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (typed !== (text ?? "")) show({ q: typed });
        else step(1);
      }}
    >
      <label>
        <span>Find</span>
        <input
          ref={field}
          type="search"
          placeholder="token text"
          value={typed}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            if (event.currentTarget.value === "") show({ q: null });
          }}
          onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        />
      </label>
      {text && (
        <span class="muted small hits">
          {hits.state === "error"
            ? hits.error.message
            : hits.state === "loading"
              ? "…"
              : hits.data.total === 0
                ? "not found"
                : `${at >= 0 ? `${count(at + 1)} of ` : ""}${count(hits.data.total)}`}
        </span>
      )}
      {rows.length > 0 && (
        <>
          <button type="button" class="quiet icon" aria-label="Previous hit" onClick={() => step(-1)}>
            ↑
          </button>
          <button type="button" class="quiet icon" aria-label="Next hit" onClick={() => step(1)}>
            ↓
          </button>
        </>
      )}
    </form>
  );
}
