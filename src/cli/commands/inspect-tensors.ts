import type { GraphTensor } from "../../core/engine.ts";
import { ranges } from "../../core/plan.ts";
import { safeText } from "../../core/safe-text.ts";
import { whyNot } from "../../engines/llama/run/row-shapes.ts";
import { bold, dim } from "../../views/terminal/parts/paint.ts";
import { clip, padRight } from "../../views/terminal/parts/text.ts";
import type { Terminal } from "../../views/terminal/terminal.ts";
import type { CommandContext } from "../command.ts";
import { withModel } from "../run-capture.ts";

/** Tokens of context: the graph is the same for any, and this takes little memory. */
const CONTEXT = 512;

/** `moescope inspect MODEL --tensors`: what can be captured as `activation:<name>`. The weights are not read. */
export async function inspectTensors(
  model: string,
  { json, flashAttention }: { readonly json?: boolean | undefined; readonly flashAttention: boolean },
  context: CommandContext,
): Promise<void> {
  const { output, signal } = context;
  const options = { contextSize: CONTEXT, ...(flashAttention ? {} : { flashAttention: false }) };
  await withModel(model, options, context, async (llm) => {
    const tensors = await llm.tensors({ signal });
    if (json) output.print(JSON.stringify({ model: llm.info, tensors }));
    else output.print(...tensorsView(llm.info.name, tensors, output.terminal));
  });
}

function tensorsView(name: string, tensors: readonly GraphTensor[], { width, depth }: Terminal): string[] {
  const columns = (...cells: readonly [string, string, string, string]) =>
    clip(
      `  ${padRight(cells[0], names)}  ${padRight(cells[1], 4)}  ${padRight(cells[2], 20)}  ${cells[3]}`,
      width,
    );
  const names = Math.max(...tensors.map((tensor) => tensor.name.length), 4);
  const usable = tensors.filter(({ capturable }) => capturable);
  const others = tensors.filter(({ capturable }) => !capturable);
  return [
    bold(depth, clip(`${safeText(name)}: tensors of the computation, in its order`, width)),
    dim(depth, columns("name", "type", "shape", "layers")),
    ...usable.map((tensor) => columns(tensor.name, tensor.type, shapeText(tensor), ranges(tensor.layers))),
    ...(others.length > 0 ? ["", dim(depth, "Not for capture:")] : []),
    ...others.map((tensor) => clip(`  ${padRight(tensor.name, names)}  ${whyNot(tensor)}`, width)),
    "",
    dim(
      depth,
      clip(
        `Next: moescope capture MODEL "some text" --streams activation:${usable[0]?.name ?? "l_out"}`,
        width,
      ),
    ),
  ];
}

const shapeText = ({ shape }: GraphTensor) =>
  shape.map((size) => (size === "varies" ? "…" : size)).join(" × ");
