import type { EngineDoctor } from "../../entry.ts";
import type { VllmDiagnosis } from "./python.ts";

/** What `moescope doctor` says of vLLM. */
export const vllmDoctor: EngineDoctor<VllmDiagnosis> = {
  key: "vllm",
  examine: async () => (await import("./python.ts")).diagnoseVllm(),
  describe: (found) => {
    if (found === null)
      return [
        { name: "vllm", mark: "absent", text: "not installed; to run models in it: moescope setup vllm" },
      ];
    if ("problem" in found) return [{ name: "vllm", mark: "broken", text: found.problem }];
    const { vllm, pythonVersion, python } = found;
    const origin = found.origin === "MOESCOPE_PYTHON" ? " (MOESCOPE_PYTHON)" : "";
    const build = { cpu: "for CPUs", cuda: "for NVIDIA GPUs" }[found.build];
    return [
      { name: "vllm", mark: "ok", text: `${vllm} ${build}, Python ${pythonVersion} in ${python}${origin}` },
    ];
  },
};
