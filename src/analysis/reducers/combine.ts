import { schema } from "../../core/schema.ts";
import { parseJson } from "../measures/tallies/state-json.ts";
import { type Reducer, sharedBatch } from "./reducer.ts";

/** The results by reducer; each reducer checks its own. */
const PARTS = schema((z) => z.record(z.string(), z.unknown()));

/** Reducers by the names that their results get. */
export type Reducers<R> = { readonly [K in keyof R]: Reducer<R[K]> };

/**
 * Several reducers as one, over the same rows.
 *
 * @example
 * import { combine, entropyReducer, usageReducer } from "moescope/analysis";
 * const reducer = combine({ usage: usageReducer(), entropy: entropyReducer() });
 * const { usage, entropy } = await llm.capture(prompts, { into: reducer });
 */
export function combine<R extends object>(reducers: Reducers<R>): Reducer<R> {
  const names = Object.keys(reducers) as (keyof R & string)[];
  const each = <T>(of: <K extends keyof R & string>(name: K) => T) =>
    Object.fromEntries(names.map((name) => [name, of(name)]));
  return {
    async open(header) {
      const opened: Reducer<unknown>[] = [];
      try {
        for (const name of names) {
          await reducers[name].open(header);
          opened.push(reducers[name] as Reducer<unknown>);
        }
      } catch (error) {
        for (const reducer of opened) await settled(() => reducer.close({ finished: [], error }));
        throw error;
      }
    },
    async write(batch) {
      const shared = sharedBatch(batch);
      for (const name of names) await reducers[name].write(shared);
    },
    async close(end) {
      // Each is closed, also after one that fails; the first failure is what is told.
      const results: [string, PromiseSettledResult<unknown>][] = [];
      for (const name of names) results.push([name, await settled(() => reducers[name].close(end))]);
      for (const [, result] of results) if (result.status === "rejected") throw result.reason;
      return Object.fromEntries(
        results.map(([name, result]) => [name, (result as PromiseFulfilledResult<unknown>).value]),
      ) as R;
    },
    merge: (a, b) => each((name) => reducers[name].merge(a[name], b[name])) as R,
    toJson: (result) => each((name) => reducers[name].toJson(result[name])),
    fromJson: (json) => {
      const parts = parseJson(PARTS(), json, names.join(", "));
      return each((name) => reducers[name].fromJson(parts[name])) as R;
    },
  };
}

/** What became of a call that may throw at once. */
async function settled<T>(call: () => T | Promise<T>): Promise<PromiseSettledResult<T>> {
  const [result] = await Promise.allSettled([(async () => call())()]);
  return result;
}
