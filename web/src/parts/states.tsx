import type { ComponentChildren } from "preact";
import { ApiError } from "../data/request.ts";
import { route, show } from "../route.ts";

const NO_FILTER = { label: null, phase: null, sample: null, blabel: null, bsample: null };

/** The room of what is on its way, so that nothing jumps when it comes. */
export const Skeleton = ({
  height,
  label = "Loading",
}: {
  readonly height: number;
  readonly label?: string;
}) => (
  <div class="skeleton" style={{ height: `${height}px` }} role="status">
    <span class="hidden-text">{label}</span>
  </div>
);

/** What went wrong, in its place, with what to do. */
export function ErrorNote({ error, retry }: { readonly error: Error; readonly retry?: () => void }) {
  // A shared address may name a label or sample that this capture has not.
  const wrongFilter =
    error instanceof ApiError &&
    error.code === "INVALID_ARGUMENT" &&
    Object.keys(NO_FILTER).some((name) => name in route.value.params);
  return (
    <div class="note error" role="alert">
      <p>
        <strong>This could not be shown.</strong> {error.message}
      </p>
      <p class="note-actions">
        {wrongFilter ? (
          <button type="button" onClick={() => show(NO_FILTER, { replace: false })}>
            Show all tokens
          </button>
        ) : (
          retry && (
            <button type="button" onClick={retry}>
              Try again
            </button>
          )
        )}
        {error instanceof ApiError && <code class="muted">{error.code}</code>}
      </p>
    </div>
  );
}

/** Why there is nothing here, and what would make something appear. */
export const EmptyNote = ({ children }: { readonly children: ComponentChildren }) => (
  <div class="note">{children}</div>
);
