import { join } from "node:path";
import type { SpecializedExpert } from "../../analysis/measures/specialized-experts.ts";
import { type Specialization, specialization } from "../../analysis/specialization.ts";
import { specializedExperts } from "../../analysis/specialized-experts.ts";
import type { Capture } from "../../capture/capture.ts";
import { packageRoot } from "../../core/package-root.ts";
import { promptLabel } from "../../run/prompts/prompt.ts";
import type { Prompt } from "../../run/prompts/prompt-object.ts";
import { captureFactsOf } from "../../views/facts/capture.ts";
import { captureSummary } from "../../views/terminal/capture-summary.ts";
import { header } from "../../views/terminal/parts/header.ts";
import { bold, dim } from "../../views/terminal/parts/paint.ts";
import { specializedExpertList } from "../../views/terminal/parts/specialized-experts.ts";
import { tokenStrip } from "../../views/terminal/parts/token-strip.ts";
import { usageByLabel } from "../../views/terminal/parts/usage-map.ts";
import { stripTokens } from "../../views/terminal/sample-strips.ts";
import type { Terminal } from "../../views/terminal/terminal.ts";
import type { CommandContext } from "../command.ts";
import { readPrompts } from "../options/prompt-files.ts";
import { captureWithProgress, withModel } from "../run-capture.ts";

/** Enough for a line of code or a sentence, and a strip of two lines. */
const CONTINUATION = 16;
/** Specialized experts listed, and of those at most one a label, so that every domain has its turn. */
const MAX_SPECIALIZED = 7;

/** `moescope demo`: the bundled model on texts of each domain. */
export async function demo({ json }: { readonly json?: boolean }, context: CommandContext): Promise<void> {
  const folder = join(packageRoot, "models", "demo");
  const prompts = await readPrompts(join(folder, "prompts.jsonl"), context.stdin);
  await withModel(join(folder, "demo-moe.gguf"), {}, context, async (llm) => {
    const capture = await captureWithProgress(llm, prompts, {}, context);
    const example = prompts.find((prompt) => promptLabel(prompt) === "python") ?? (prompts[0] as Prompt);
    const written = await captureWithProgress(llm, [example], { maxTokens: CONTINUATION }, context);
    const found = specialization(capture);
    const { output } = context;
    if (json)
      output.print(
        JSON.stringify({
          ...captureFactsOf(capture, { samples: true }),
          specializedExperts: specializedExperts(found),
          continuation: captureFactsOf(written, { samples: true }).samples![0],
        }),
      );
    else output.print(demoView(capture, written, found, output.terminal));
  });
}

export function demoView(
  capture: Capture,
  written: Capture,
  found: Specialization,
  terminal: Terminal,
): string[] {
  const { depth } = terminal;
  const layer = mostSpecialized(found);
  const facts = captureFactsOf(capture, { samples: false });
  return [
    ...header(capture.model, capture.engine.kind, terminal),
    "",
    ...captureSummary(facts),
    "",
    ...usageByLabel(facts.usage!, layer, terminal),
    "",
    ...specializedExpertList(onePerLabel(specializedExperts(found)), found.fairShare, [], terminal),
    "",
    bold(depth, `One text and its continuation (after ▸), with the experts of layer ${layer}`),
    ...tokenStrip(lastTokens(written, layer), 9, terminal),
    "",
    dim(depth, "Next: npx moescope serve                             see it in the browser"),
    dim(depth, '      npx moescope capture model.gguf "some text"    the same for your model'),
    dim(depth, "      npx moescope capture --help                    all it can do"),
  ];
}

/** The layer whose experts tell most about the label, beyond what chance would. */
function mostSpecialized({ layers }: Specialization): number {
  const information = [...layers].map(
    ([layer, { mutualInformation, chanceInformation }]) =>
      [layer, mutualInformation - chanceInformation] as const,
  );
  return information.reduce((best, next) => (next[1] > best[1] ? next : best))[0];
}

function onePerLabel(found: readonly SpecializedExpert[]): SpecializedExpert[] {
  const labels = new Set<string>();
  return found.filter(({ label }) => !labels.has(label) && labels.add(label)).slice(0, MAX_SPECIALIZED);
}

/** The end of the prompt and all that was generated. */
function lastTokens(written: Capture, layer: number) {
  const tokens = stripTokens(written.sample(0), layer);
  const generated = tokens.findIndex((token) => token.generated);
  return generated < 0 ? tokens : tokens.slice(Math.max(0, generated - 8));
}
