import { useLayoutEffect, useRef, useState } from "preact/hooks";

/** An element's width in pixels, as it changes. */
export function useWidth(): [ref: { current: HTMLDivElement | null }, width: number] {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(640);
  useLayoutEffect(() => {
    const measure = () => box.current && setWidth(box.current.clientWidth);
    const observer = new ResizeObserver(measure);
    observer.observe(box.current!);
    measure();
    return () => observer.disconnect();
  }, []);
  return [box, width];
}
