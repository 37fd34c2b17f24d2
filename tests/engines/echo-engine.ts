import { optionsReader, unchecked, whole } from "../../src/core/options.ts";
import type { EngineEntry } from "../../src/engines/entry.ts";
import { sets } from "../../src/engines/flag.ts";
import { CONTEXT } from "../../src/engines/shared-flags.ts";
import { FakeEngine } from "../cli/fake-engine.ts";

interface EchoOptions {
  readonly engine?: "echo";
  readonly contextSize?: number;
  readonly loudness?: number;
  readonly signal?: AbortSignal;
  readonly onLoad?: (text: string) => void;
}

class EchoEngine extends FakeEngine {
  override readonly kind: string = "echo";
}

/** A third engine, all of it: what a file of one's own and a line in the registry bring. */
export const echoEntry: EngineEntry<EchoOptions> = {
  name: "echo",
  title: "an echo",
  references: "echo:NAME",
  accepts: (reference) => (/^echo:/.test(reference) ? "own" : null),
  options: async () => (given) =>
    optionsReader<EchoOptions>("load", {
      engine: unchecked,
      contextSize: whole(1),
      loudness: whole(1, 11),
      signal: unchecked,
      onLoad: unchecked,
    })(given),
  flags: [
    sets(CONTEXT, (contextSize: number) => ({ contextSize })),
    sets(
      {
        name: "loudness",
        placeholder: "<n>",
        type: { is: "whole", least: 1, most: 11 },
        help: "how loud it is",
      },
      (loudness: number) => ({ loudness }),
    ),
  ],
  load: async (_, { loudness = 1, onLoad }) => {
    onLoad?.(`at ${loudness}`);
    return new EchoEngine();
  },
  loading: "Calling",
  watch: (tell) => ({ onLoad: (text) => tell({ text }) }),
  doctor: {
    key: "echo",
    examine: async () => ({ walls: 4 }),
    describe: (found) => [{ name: "echo", mark: "ok", text: `${(found as { walls: number }).walls} walls` }],
  },
  setup: {
    flags: [{ name: "walls", placeholder: "<n>", type: { is: "whole", least: 1 }, help: "how many" }],
    plan: async ({ walls = 4 }, { bytes }) => ({
      lines: [`${walls} walls, ${bytes(4e6)} to download`],
      install: async () => {},
      next: "moescope capture echo:hall hello",
    }),
  },
};
