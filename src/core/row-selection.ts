import { RequestError } from "./errors.ts";
import { PHASES, type Phase } from "./rows.ts";

/** What a row may be asked for. All that is given must hold. */
export interface RowCondition {
  readonly phase?: Phase;
  /** 0-based positions in the sample. Negative ones count from the end of the prompt: -1 is its last token. */
  readonly positions?: Iterable<number>;
  /** Ids of the tokens that went in. */
  readonly tokenIds?: Iterable<number>;
  /** Positions `[start, end)`. Negative ones count from the end of the prompt, `null` is the end of the sample. */
  readonly window?: RowWindow;
  /** 0-based steps of the generation: step 0 is the row of the first token that was generated. */
  readonly steps?: Iterable<number>;
  /** Steps `[start, end)` of the generation; `null`: to its end. */
  readonly stepWindow?: RowWindow;
}

/** From the first to before the last; `null`: to the end. */
export type RowWindow = readonly [start: number, end: number | null];

/** Which rows to keep. All that is given must hold; nothing given keeps every row. */
export interface RowSelection extends RowCondition {
  /** At least one of these must hold as well. */
  readonly any?: readonly RowCondition[];
  /** None of these may hold. */
  readonly exclude?: RowCondition | readonly RowCondition[];
  /** The last n rows of each sample that meet the other conditions. */
  readonly last?: number;
}

/** A {@link RowCondition} as plain data, which crosses threads. Lists are sorted, without repeats. */
export interface ResolvedCondition {
  readonly phase: Phase | null;
  /** `null`: all. */
  readonly positions: Int32Array | null;
  readonly tokenIds?: Int32Array;
  readonly window?: RowWindow;
  readonly steps?: Int32Array;
  readonly stepWindow?: RowWindow;
}

/** A {@link RowSelection} as plain data. */
export interface ResolvedSelection extends ResolvedCondition {
  readonly any?: readonly ResolvedCondition[];
  readonly exclude?: readonly ResolvedCondition[];
  readonly last: number | null;
}

/** Whether a row is kept, `last` left out. @param tokenId of the row; {@link UNKNOWN_TOKEN}: whether it may be kept. */
export type RowTest = (position: number, tokenId: number, promptTokens: number) => boolean;

/** A token that is not drawn yet. */
const UNKNOWN_TOKEN = -1;

const LARGEST = 0x7fffffff;

/** @throws RequestError `INVALID_ARGUMENT` for what no row can be asked for. */
export function resolveSelection({ any, exclude, last, ...own }: RowSelection): ResolvedSelection {
  if (last !== undefined && !(Number.isInteger(last) && last > 0))
    throw invalid(`last must be a positive whole number, got ${last}`);
  const excluded = exclude === undefined ? [] : isList(exclude) ? exclude : [exclude];
  if (any?.length === 0) throw invalid("any needs at least one condition; leave it out to keep every row");
  for (const condition of excluded)
    if (!Object.values(condition).some((value) => value !== undefined))
      throw invalid("an exclude without a condition would leave out every row; say which rows");
  return {
    ...resolveCondition(own),
    ...(any && { any: any.map(resolveCondition) }),
    ...(excluded.length > 0 && { exclude: excluded.map(resolveCondition) }),
    last: last ?? null,
  };
}

function resolveCondition(given: RowCondition): ResolvedCondition {
  const { phase, window, stepWindow } = given;
  if (phase !== undefined && !PHASES.includes(phase))
    throw invalid(`unknown phase "${phase}"; the phases are ${PHASES.join(", ")}`);
  const positions = sorted("positions", given.positions, -LARGEST);
  const tokenIds = sorted("tokenIds", given.tokenIds, 0);
  const steps = sorted("steps", given.steps, 0);
  if (phase === "prompt" && (steps || stepWindow))
    throw invalid(`${steps ? "steps" : "stepWindow"} are of generated rows, and phase is "prompt"`);
  return {
    phase: phase ?? null,
    positions,
    ...(tokenIds && { tokenIds }),
    ...(window && { window: checkWindow("window", window, -LARGEST) }),
    ...(steps && { steps }),
    ...(stepWindow && { stepWindow: checkWindow("stepWindow", stepWindow, 0) }),
  };
}

const isList = (exclude: RowCondition | readonly RowCondition[]): exclude is readonly RowCondition[] =>
  Array.isArray(exclude);

function sorted(name: string, values: Iterable<number> | undefined, least: number): Int32Array | null {
  if (values === undefined) return null;
  const list = [...new Set(values)].sort((a, b) => a - b);
  const bad = list.find((value) => !Number.isInteger(value) || value < least || value > LARGEST);
  if (bad !== undefined)
    throw invalid(`${name} are whole numbers${least === 0 ? " from 0" : ""}, got ${bad}`);
  return Int32Array.from(list);
}

function checkWindow(name: string, window: RowWindow, least: number): RowWindow {
  const [start, end] = window;
  const whole = (value: number) => Number.isInteger(value) && value >= least && value <= LARGEST;
  if (!Array.isArray(window) || window.length !== 2 || !whole(start) || !(end === null || whole(end)))
    throw invalid(
      `${name} must be [start, end] or [start, null], whole numbers${least === 0 ? " from 0" : ""}, got ${JSON.stringify(window)}`,
    );
  if (end !== null && start < 0 === end < 0 && end <= start)
    throw invalid(`${name} ends before it begins: ${JSON.stringify(window)}; the end is not part of it`);
  return [start, end];
}

/** Made once a run: a corpus has many steps, and the lists may be long. `null`: every row is kept. */
export function rowTest(select: ResolvedSelection): RowTest | null {
  const own = conditionTest(select, true);
  const any = select.any?.map((condition) => conditionTest(condition, true));
  const exclude = select.exclude?.map((condition) => conditionTest(condition, false));
  if (own === ALWAYS && !any && !exclude) return null;
  return (position, tokenId, prompt) =>
    own(position, tokenId, prompt) &&
    (!any || any.some((test) => test(position, tokenId, prompt))) &&
    !exclude?.some((test) => test(position, tokenId, prompt));
}

const ALWAYS: RowTest = () => true;

/** @param unknown what a condition on token ids says of a token that is not known. */
function conditionTest(
  { phase, positions, tokenIds, window, steps, stepWindow }: ResolvedCondition,
  unknown: boolean,
): RowTest {
  const tests: RowTest[] = [];
  if (phase !== null) tests.push((position, _, prompt) => position < prompt === (phase === "prompt"));
  if (positions) {
    const at = new Set(positions);
    tests.push((position, _, prompt) => at.has(position) || (position < prompt && at.has(position - prompt)));
  }
  if (window) {
    const [start, end] = window;
    const from = (bound: number, prompt: number) => (bound < 0 ? prompt + bound : bound);
    tests.push(
      (position, _, prompt) =>
        position >= from(start, prompt) && (end === null || position < from(end, prompt)),
    );
  }
  if (steps) {
    const at = new Set(steps);
    tests.push((position, _, prompt) => at.has(position - prompt));
  }
  if (stepWindow) {
    const [start, end] = stepWindow;
    tests.push(
      (position, _, prompt) => position - prompt >= start && (end === null || position - prompt < end),
    );
  }
  if (tokenIds) {
    const ids = new Set(tokenIds);
    tests.push((_, tokenId) => (tokenId === UNKNOWN_TOKEN ? unknown : ids.has(tokenId)));
  }
  if (tests.length === 0) return ALWAYS;
  return tests.length === 1
    ? tests[0]!
    : (position, tokenId, prompt) => tests.every((test) => test(position, tokenId, prompt));
}

/**
 * The first position of a sample that can be among the last n rows. Exact for samples whose tokens are all known, for
 * others the beginning: every generated row may be.
 */
export function firstOfLast(
  select: ResolvedSelection,
  test: RowTest | null,
  { tokens, maxTokens }: { readonly tokens: Int32Array; readonly maxTokens: number },
): number {
  const { last, phase } = select;
  if (last === null || !(phase === "prompt" || maxTokens === 0)) return 0;
  let left = last;
  for (let position = tokens.length - 1; position >= 0; position--)
    if ((!test || test(position, tokens[position]!, tokens.length)) && --left === 0) return position;
  return 0;
}

/** At most so many rows of a sample are kept; the last token is drawn, and is no row. */
export function mostRows(
  select: ResolvedSelection,
  test: RowTest | null,
  { tokens, maxTokens }: { readonly tokens: Int32Array; readonly maxTokens: number },
): number {
  const total = tokens.length + Math.max(0, maxTokens - 1);
  let among = total;
  if (test) {
    among = 0;
    for (let position = 0; position < total; position++)
      if (test(position, tokens[position] ?? UNKNOWN_TOKEN, tokens.length)) among++;
  }
  return Math.min(among, select.last ?? among);
}

const invalid = (message: string) => new RequestError("INVALID_ARGUMENT", message);
