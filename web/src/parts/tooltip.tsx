import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

const shown = signal<{ readonly x: number; readonly y: number; readonly content: ComponentChildren } | null>(
  null,
);

export const showTooltip = (x: number, y: number, content: ComponentChildren): void => {
  shown.value = { x, y, content };
};
export const hideTooltip = (): void => {
  if (shown.peek()) shown.value = null;
};

const OFFSET = 14;

/** What the pointer is on, in words; once in the page. Kept within the window. */
export function Tooltip() {
  const box = useRef<HTMLDivElement>(null);
  const tip = shown.value;
  useLayoutEffect(() => {
    if (!tip || !box.current) return;
    const { offsetWidth, offsetHeight, style } = box.current;
    const right = tip.x + OFFSET + offsetWidth < innerWidth;
    const below = tip.y + OFFSET + offsetHeight < innerHeight;
    const x = right ? tip.x + OFFSET : Math.max(4, tip.x - OFFSET - offsetWidth);
    const y = below ? tip.y + OFFSET : Math.max(4, tip.y - OFFSET - offsetHeight);
    style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  });
  if (!tip) return null;
  return (
    <div ref={box} class="tooltip" role="tooltip">
      {tip.content}
    </div>
  );
}
