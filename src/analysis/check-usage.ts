import { argument, thing } from "../core/options.ts";
import type { ExpertUsage } from "./expert-usage.ts";

const usageField = thing<ExpertUsage>(
  "what expertUsage or a usage reducer gives",
  (value) => "experts" in value && (value as ExpertUsage).layers instanceof Map,
);

/** @throws RequestError `INVALID_ARGUMENT` for what is no usage, a capture for example. */
export const checkUsage = (call: string, value: unknown): ExpertUsage =>
  argument(call, "the usage", value, usageField);
