import { modelRecord } from "../../capture/folder/manifest.ts";
import { RequestError } from "../../core/errors.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import { schema } from "../../core/schema.ts";
import { withCurrentMoe } from "../../gating/moe-record.ts";
import type { ExpertUsage } from "../expert-usage.ts";
import { measures } from "../measures/registry.ts";
import type { RouterLosses } from "../measures/router-losses.ts";
import type { RouterSums } from "../measures/tallies/router-sums.ts";
import { parseJson } from "../measures/tallies/state-json.ts";
import { combine } from "./combine.ts";
import { type CorpusEntropy, entropyReducer } from "./entropy.ts";
import { type ReducedMeasure, reducer } from "./measure-reducer.ts";
import type { Reducer } from "./reducer.ts";
import { usageReducer } from "./usage.ts";

/** Raised when a profile of this version can no longer be read by an older moescope. */
const FORMAT = "moescope.profile/2";

const HEAD = schema((z) =>
  z.object({
    format: z.literal(FORMAT),
    model: modelRecord(),
    engine: z.object({ kind: z.string(), version: z.string() }),
    samples: z.int().nonnegative(),
    results: z.unknown(),
  }),
);

export interface ProfileResults {
  readonly usage: ExpertUsage;
  readonly entropy: CorpusEntropy;
  /** Mean router probabilities and losses; `null` in profiles of older versions. */
  readonly router: CorpusRouter | null;
}

type CorpusRouter = ReducedMeasure<RouterLosses | null, RouterSums>;

/** What a corpus did with a model's experts: the states of measures, so that those of several machines merge. */
export interface Profile {
  readonly model: ModelInfo;
  readonly engine: { readonly kind: string; readonly version: string };
  readonly samples: number;
  readonly results: ProfileResults;
}

export const profileReducer = (): Reducer<ProfileResults> =>
  combine({ usage: usageReducer(), entropy: entropyReducer(), router: routerReducer() });

/** Profiles of older versions have nothing of it, and neither has what they are merged into. */
function routerReducer(): Reducer<CorpusRouter | null> {
  const known = reducer(measures.routerLosses);
  return {
    ...known,
    merge: (a, b) => a && b && known.merge(a, b),
    toJson: (found) => found && known.toJson(found),
    fromJson: (json) => (json === undefined || json === null ? null : known.fromJson(json)),
  };
}

export function formatProfile(profile: Profile): string {
  return JSON.stringify({ format: FORMAT, ...profile, results: profileReducer().toJson(profile.results) });
}

/**
 * @param name for messages.
 * @throws RequestError `INVALID_ARGUMENT` naming the place that is wrong.
 */
export function parseProfile(text: string, name: string): Profile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new RequestError(
      "INVALID_ARGUMENT",
      `the profile ${name} is no JSON (${(cause as Error).message})`,
      { cause },
    );
  }
  const { model, engine, samples, results } = parseJson(HEAD(), json, `profile ${name}`);
  return {
    model: withCurrentMoe(model, engine.kind),
    engine,
    samples,
    results: profileReducer().fromJson(results),
  };
}

/** @throws RequestError `INVALID_ARGUMENT` when they are of different models. */
export function mergeProfiles(a: Profile, b: Profile): Profile {
  if (a.model.architecture !== b.model.architecture || a.model.layers !== b.model.layers)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `profiles of ${a.model.name} and ${b.model.name} cannot be merged: merge runs of one model`,
    );
  return { ...a, samples: a.samples + b.samples, results: profileReducer().merge(a.results, b.results) };
}
