import { signal } from "@preact/signals";

const said = signal("");

/** Say something to those who hear the page. */
export const announce = (text: string): void => {
  said.value = text;
};

/** Where it is said; once in the page. */
export const Announcer = () => (
  <div class="hidden-text" role="status" aria-live="polite">
    {said}
  </div>
);
