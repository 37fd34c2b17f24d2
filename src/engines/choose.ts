import { RequestError } from "../core/errors.ts";
import { nearMiss } from "../core/near-miss.ts";
import type { EngineEntry, Fit } from "./entry.ts";

/** What engines can be asked for by name, each once. */
export const engineNames = (engines: readonly EngineEntry[]): string[] => [
  ...new Set(engines.map(({ name }) => name)),
];

/**
 * Which engine runs a reference: the one whose own it is, else the first that can.
 *
 * @param asked the name of the engine that is wanted.
 * @throws RequestError `INVALID_ARGUMENT` for a name that no engine has, and for what the engine does not run.
 */
export function chooseEngine(
  engines: readonly EngineEntry[],
  reference: string,
  asked?: string,
): EngineEntry {
  const names = engineNames(engines);
  if (asked !== undefined && !names.includes(asked)) throw unknownEngine(asked, names);
  const fits = engines
    .filter(({ name }) => asked === undefined || name === asked)
    .map((entry) => ({ entry, fit: entry.accepts(reference) }));
  const found = fits.find(({ fit }) => fit === "own") ?? fits.find(({ fit }) => fit === "possible");
  if (found) return found.entry;
  const reason = fits.map(({ fit }) => refusal(fit)).find((words) => words !== null);
  throw new RequestError(
    "INVALID_ARGUMENT",
    reason ?? `${JSON.stringify(reference)} is nothing that ${asked ?? names.join(" or ")} runs`,
  );
}

/** The engine whose own a reference is, if it is one's. */
export const ownerOf = (engines: readonly EngineEntry[], reference: string): EngineEntry | undefined =>
  engines.find((entry) => entry.accepts(reference) === "own");

const refusal = (fit: Fit) => (typeof fit === "object" && fit !== null ? fit.refused : null);

function unknownEngine(asked: string, names: readonly string[]): RequestError {
  const meant = typeof asked === "string" ? nearMiss(asked, names) : null;
  const list = `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  return new RequestError(
    "INVALID_ARGUMENT",
    `unknown engine ${JSON.stringify(asked)}${meant === null ? "" : `: did you mean ${meant}?`}; the engines are ${list}`,
  );
}
