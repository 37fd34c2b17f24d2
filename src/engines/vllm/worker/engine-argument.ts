import { RequestError } from "../../../core/errors.ts";

/**
 * `maxNumSeqs=64`, `max-num-seqs=64`: an engine argument of vLLM's with its value, which is JSON where it can be read
 * so and text otherwise.
 */
export function parseEngineArgument(text: string): readonly [name: string, value: unknown] {
  const [, name, value] = /^([a-z][A-Za-z0-9_-]*)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `"${text}" is no engine argument; write a name and a value, as in maxNumSeqs=64`,
    );
  return [name.replace(/[-_]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()), parse(value)];
}

function parse(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}
