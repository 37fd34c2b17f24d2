import type { ModelInfo } from "../../core/model-info.ts";
import type { SampleInfo } from "../../core/sink.ts";
import type { ScanScope, ScanSettings } from "../measures/measure.ts";
import { labelGroups } from "../rows/label-groups.ts";

export function scanScope(
  model: ModelInfo,
  samples: readonly SampleInfo[],
  settings: ScanSettings,
  tokenText: (tokenId: number) => string,
): ScanScope {
  const { experts, topK } = model.moe ?? { experts: 0, topK: 0 };
  return { model, experts, topK, samples, labels: labelGroups(samples), settings, tokenText };
}
