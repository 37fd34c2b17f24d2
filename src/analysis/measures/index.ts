/**
 * The registry of measures: a line each, under the measure's name. What is here is computed by `analyzeCapture`, stands
 * in `--json`, in the server's answers and in reports, and has its words in the glossaries.
 */
export { balance } from "./balance.ts";
export { coactivation } from "./coactivation.ts";
export { entropy } from "./entropy.ts";
export { flows } from "./flows.ts";
export { gateEntropy } from "./gate-entropy.ts";
export { gateMargin } from "./gate-margin.ts";
export { hiddenStates } from "./hidden-states.ts";
export { labelScores } from "./label-scores.ts";
export { locality } from "./locality.ts";
export { margin } from "./margin.ts";
export { nextExperts } from "./next-experts.ts";
export { paths } from "./paths.ts";
export { phases } from "./phases.ts";
export { positions } from "./positions.ts";
export { modelLosses, routerLosses } from "./router-losses.ts";
export { scoredExperts } from "./scored-experts.ts";
export { specialization } from "./specialization.ts";
export { specializedExperts } from "./specialized-experts.ts";
export { texts } from "./texts.ts";
export { tokenClasses } from "./token-classes.ts";
export { tokenPreferences } from "./token-preferences.ts";
export { usage } from "./usage.ts";
