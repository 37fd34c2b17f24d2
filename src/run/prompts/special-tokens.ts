import type { Engine } from "../../core/engine.ts";
import type { EngineText } from "../../core/request.ts";

/** Engines whose user has been told, or whose tokenizer adds nothing: there is no more to be said of them. */
const settled = new WeakSet<Engine>();

/**
 * Warn, once for a model, where the tokenizer adds special tokens to a text that has them already: a rendered chat, most
 * often. The model then sees what it never saw in training.
 *
 * @param tokens of each text, with what the tokenizer adds.
 */
export async function warnOfDoubledTokens(
  engine: Engine,
  texts: readonly (EngineText & { readonly where: string })[],
  tokens: readonly Int32Array[],
): Promise<void> {
  if (settled.has(engine)) return;
  const suspects = [...texts.keys()].filter((i) => texts[i]!.addSpecial && mayBeDoubled(tokens[i]!));
  if (suspects.length === 0) return;
  const bare = await engine.tokenize(suspects.map((i) => ({ ...texts[i]!, addSpecial: false })));
  for (const [k, i] of suspects.entries()) {
    const doubled = doubledTokens(tokens[i]!, bare[k]!);
    const addsNothing = tokens[i]!.length === bare[k]!.length;
    if (doubled.length > 0 || addsNothing) settled.add(engine);
    if (addsNothing) return;
    if (doubled.length === 0) continue;
    const names = doubled.map((id) => `"${engine.tokenText(id)}"`).join(" and ");
    process.emitWarning(
      `${texts[i]!.where} has ${names} twice: in the text, and added by the tokenizer of ${engine.model.name}. For a text that has its ` +
        "special tokens say addSpecial: false (--no-special-tokens, add_special in a file, add_special_tokens in /v1)",
      { type: "MoescopeWarning", code: "DOUBLE_SPECIAL_TOKENS" },
    );
    return;
  }
}

function mayBeDoubled(tokens: Int32Array): boolean {
  const last = tokens.length - 1;
  return last >= 1 && (tokens[0] === tokens[1] || tokens[last] === tokens[last - 1]);
}

/** @param bare the text's own tokens, around which stand those that the tokenizer adds. */
function doubledTokens(tokens: Int32Array, bare: Int32Array): number[] {
  const added = tokens.length - bare.length;
  const before = Array.from({ length: added + 1 }, (_, k) => k).find((k) =>
    bare.every((id, i) => id === tokens[k + i]),
  );
  if (added < 1 || before === undefined) return [];
  return [
    ...(before > 0 && tokens[before - 1] === bare[0] ? [bare[0]!] : []),
    ...(before < added && tokens[before + bare.length] === bare.at(-1) ? [bare.at(-1)!] : []),
  ];
}
