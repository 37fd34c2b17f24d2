import { useEffect } from "preact/hooks";

/** What a key does, for the handler and for the list that `?` shows. */
export interface KeyBinding {
  /** As `KeyboardEvent.key` has it; several that do the same. */
  readonly keys: readonly string[];
  readonly does: string;
  readonly run: (key: string, event: KeyboardEvent) => void;
}

const active: (readonly KeyBinding[])[] = [];

/** The bindings that work now, the view's own before the page's. */
export const bindings = (): readonly KeyBinding[] => active.flat();

/** Keys belong to what is typed into. */
const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

/** Enter on a button or link presses it. */
const presses = ({ key, target }: KeyboardEvent) =>
  key === "Enter" && target instanceof HTMLElement && target.closest("button, a, summary") !== null;

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || presses(event)) return;
  if (document.querySelector("dialog[open]")) return;
  for (const { keys, run } of active.flat())
    if (keys.includes(event.key)) {
      event.preventDefault();
      run(event.key, event);
      return;
    }
});

/** Bind keys while a component is there. */
export function useKeys(list: readonly KeyBinding[]): void {
  useEffect(() => {
    active.unshift(list);
    return () => {
      active.splice(active.indexOf(list), 1);
    };
  });
}
