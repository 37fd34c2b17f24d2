/** Numbers as people read them: at most three significant digits, with a unit. */

const STEPS = ["", "k", "M", "B", "T"];

/** `412`, `1.2 k`, `30.5 B`. */
export function count(n: number): string {
  return Number.isInteger(n) && n < 1000 ? `${n}` : withStep(n, 1000, STEPS);
}

/** `16.2 MB`, in powers of 1000 as file managers and Hugging Face show sizes. */
export function bytes(n: number): string {
  return withStep(n, 1000, ["B", "kB", "MB", "GB", "TB"]);
}

/** `11.2 GiB`, in powers of 1024 as llama.cpp and GPUs count memory. */
export function memory(n: number): string {
  return withStep(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
}

/** `38 %`, `6.25 %`, `0.39 %`; the share is a fraction of 1. Nearly all is `<100 %`: only all is 100 %. */
export function percent(share: number): string {
  return share >= 0.9995 && share < 1 ? "<100 %" : `${significant(share * 100)} %`;
}

/** `+3.25 points`, `-0.4 points`: a difference of shares, in points of a hundred. */
export function points(difference: number): string {
  return `${difference > 0 ? "+" : ""}${significant(difference * 100)} points`;
}

/** `0.693`, `1.2e-5`, `0`: information in nats or bits, with no unit. */
export function information(amount: number): string {
  return amount > 0 && amount < 1e-3 ? amount.toExponential(1) : significant(amount);
}

/** `1.15`, `0.39`, `0.031`: information that is compared down a column. */
export function inColumn(amount: number): string {
  return amount.toFixed(amount >= 0.1 ? 2 : 3);
}

/** `2.4×`. */
export function times(factor: number): string {
  return `${factor >= 10 ? Math.round(factor) : factor.toFixed(1)}×`;
}

/** `p = 0.012`, `p < 0.001`. */
export function probability(p: number): string {
  return p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
}

/** `q = 0.012`, `q < 0.001`. */
export const qOf = (q: number): string => probability(q).replace("p", "q");

/** `48 s`, `3 min`, `1 h 20 min`. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `one token`, `3 tokens`: the noun in the number it needs. */
export function plural(n: number, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}

function withStep(n: number, base: number, steps: readonly string[]): string {
  let step = 0;
  // 999.5 rounds to 1000, and three digits cannot say 1023: both belong to the next step.
  while (n >= 999.5 && step < steps.length - 1) {
    n /= base;
    step++;
  }
  return `${significant(n)} ${steps[step]}`.trimEnd();
}

function significant(n: number): string {
  return `${Number(n.toPrecision(3))}`;
}

/** `+3.25 points ± 1.2 points`; without the interval where there are too few texts for one. */
export function withHalfWidth(value: number, half: number | null, show: (value: number) => string): string {
  return half === null ? show(value) : `${show(value)} ± ${show(half).replace(/^\+/, "")}`;
}
