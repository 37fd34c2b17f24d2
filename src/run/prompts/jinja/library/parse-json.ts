/** A text, or a number; what is between them is not looked at. */
const TOKEN = /"(?:[^"\\]|\\[\s\S])*"|-?\d+(\.\d+)?([eE][+-]?\d+)?/g;
/** No key of anybody's. */
const MARK = "\0number";

/**
 * JSON as Python reads it, where `1.0` is no `1`: a float without a fraction comes as a boxed `Number`, an int that a
 * JavaScript number cannot hold as a bigint. Templates write them as Python does.
 *
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  const plain: unknown = JSON.parse(text);
  let found = false;
  const marked = text.replace(TOKEN, (token, fraction?: string, exponent?: string) => {
    if (token.startsWith('"')) return token;
    const isFloat = fraction !== undefined || exponent !== undefined;
    if (isFloat ? !Number.isInteger(Number(token)) : Number.isSafeInteger(Number(token))) return token;
    found = true;
    return `{${JSON.stringify(MARK)}:"${token}"}`;
  });
  if (!found) return plain;
  return JSON.parse(marked, (_key, value) => {
    const token: unknown = typeof value === "object" && value !== null ? value[MARK] : undefined;
    if (typeof token !== "string") return value;
    return /^-?\d+$/.test(token) ? BigInt(token) : Object(Number(token));
  });
}
