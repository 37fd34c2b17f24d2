import type { DiagnosisLine, EngineDoctor, Wording } from "../entry.ts";
import type { GpuDiagnosis, LlamaDiagnosis } from "./diagnosis.ts";
import type { Device } from "./native/devices.ts";

/** What `moescope doctor` says of llama.cpp and the GPUs it can use. */
export const llamaDoctor: EngineDoctor<LlamaDiagnosis> = {
  key: "llama",
  examine: async () => (await import("./diagnosis.ts")).diagnoseLlama(),
  describe: ({ problem, version, folder, devices, kernels, gpus }, wording) => [
    problem === null
      ? { name: "llama.cpp", mark: "ok", text: `${version}, layouts checked, in ${folder}` }
      : { name: "llama.cpp", mark: "broken", text: problem },
    ...devices.map((device): DiagnosisLine => ({ name: "", mark: "ok", text: deviceText(device, wording) })),
    ...(kernels === null ? [] : [{ name: "", mark: "ok", text: `CPU kernels: ${kernels}` } as const]),
    ...gpus.flatMap((gpu) => gpuLines(gpu, wording)),
  ],
};

function deviceText({ name, description, memory }: Device, { bytes }: Wording): string {
  const size = memory.total > 0 ? `, ${bytes(memory.total)}, ${bytes(memory.free)} free` : "";
  return `${name}: ${description}${size}`;
}

function gpuLines(
  { kind, driver, install, installed, devices, problem }: GpuDiagnosis,
  wording: Wording,
): DiagnosisLine[] {
  if (devices.length > 0)
    return devices.map((device, i) => ({
      name: i === 0 ? kind : "",
      mark: "ok",
      text: deviceText(device, wording),
    }));
  if (problem !== null) return [{ name: kind, mark: "broken", text: problem }];
  // Nothing to say of what does not exist here.
  if (installed || install === null) return [];
  return [
    {
      name: kind,
      mark: "absent",
      text:
        driver === null
          ? `not installed; with such a GPU: ${install}`
          : `${driver} is here, llama.cpp's backend for it is not: ${install}`,
    },
  ];
}
