import { JinjaError } from "./errors.ts";

/** The template did not come to its end in the time that it was given. */
export class TemplateOverrun extends JinjaError {}

/** Looking at the clock takes longer than a step of a template. */
const STEPS_A_LOOK = 1024;

let end = Number.POSITIVE_INFINITY;
let steps = 0;

/** Do something that has so many milliseconds; a template renders in one go, so that one clock is enough for all. */
export function within<R>(ms: number, work: () => R): R {
  const before = end;
  end = Math.min(before, performance.now() + ms);
  try {
    return work();
  } finally {
    end = before;
  }
}

/** Called at every step of a template. @throws TemplateOverrun when the time is over. */
export function step(): void {
  if (++steps % STEPS_A_LOOK === 0 && performance.now() > end)
    throw new TemplateOverrun("the time that it was given is over");
}
