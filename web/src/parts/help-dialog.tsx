import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { bindings } from "../keys.ts";

const open = signal(false);
export const openHelp = (): void => {
  open.value = true;
};

const SHOWN: Readonly<Record<string, string>> = {
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
  " ": "space",
};

/** The keys that work now. */
export function HelpDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open.value) dialog.current?.showModal();
  }, [open.value]);
  if (!open.value) return null;
  // Capital letters work too and are not told.
  const shown = (keys: readonly string[]) => keys.filter((key) => !/^[A-Z]$/.test(key));
  return (
    <dialog
      ref={dialog}
      aria-label="Keys"
      onClose={() => {
        open.value = false;
      }}
    >
      <h1>Keys</h1>
      <dl class="keys">
        {bindings().map(({ keys, does }) => (
          <div key={does}>
            <dt>
              {shown(keys).length > 4 ? (
                <>
                  <kbd>{shown(keys)[0]}</kbd> to <kbd>{shown(keys).at(-1)}</kbd>
                </>
              ) : (
                shown(keys).map((key) => <kbd key={key}>{SHOWN[key] ?? key}</kbd>)
              )}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
        <div>
          <dt>
            <kbd>esc</kbd>
          </dt>
          <dd>close, clear</dd>
        </div>
      </dl>
      <p class="muted">Drag pans, the wheel or two fingers zoom, a double click shows all.</p>
      <button type="button" class="primary" onClick={() => dialog.current?.close()}>
        Close
      </button>
    </dialog>
  );
}
