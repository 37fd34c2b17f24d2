import type { Engine } from "../../core/engine.ts";

/** Engines whose user has been told. */
const warned = new WeakSet<Engine>();

/**
 * Warn, once for a model, where the tokenizer adds special tokens to a text that has them already: a rendered chat, most
 * often. The model then sees what it never saw in training.
 *
 * @param tokens of the text, with what the tokenizer adds.
 */
export async function warnOfDoubledTokens(
  engine: Engine,
  text: string,
  tokens: Int32Array,
  where: string,
): Promise<void> {
  const last = tokens.length - 1;
  if (warned.has(engine) || last < 1) return;
  if (tokens[0] !== tokens[1] && tokens[last] !== tokens[last - 1]) return;
  const bare = await engine.tokenize(text, { addSpecial: false, parseSpecial: true });
  // What the tokenizer adds stands around the text's own tokens.
  const added = tokens.length - bare.length;
  const before = Array.from({ length: added + 1 }, (_, k) => k).find((k) =>
    bare.every((id, i) => id === tokens[k + i]),
  );
  if (added < 1 || before === undefined) return;
  const doubled = [
    ...(before > 0 && tokens[before - 1] === bare[0] ? [bare[0]!] : []),
    ...(before < added && tokens[before + bare.length] === bare.at(-1) ? [bare.at(-1)!] : []),
  ];
  if (doubled.length === 0) return;
  warned.add(engine);
  const names = doubled.map((id) => `"${engine.tokenText(id)}"`).join(" and ");
  process.emitWarning(
    `${where} has ${names} twice: in the text, and added by the tokenizer of ${engine.model.name}. For a text that has its ` +
      "special tokens say addSpecial: false (--no-special-tokens, add_special in a file, add_special_tokens in /v1)",
    { type: "MoescopeWarning", code: "DOUBLE_SPECIAL_TOKENS" },
  );
}
