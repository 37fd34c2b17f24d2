import type { ComponentChildren } from "preact";
import { ApiError } from "../data/request.ts";

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
  return (
    <div class="note error" role="alert">
      <p>
        <strong>This could not be shown.</strong> {error.message}
      </p>
      <p class="note-actions">
        {retry && (
          <button type="button" onClick={retry}>
            Try again
          </button>
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
