import { RequestError } from "./errors.ts";

/** @throws RequestError `INVALID_ARGUMENT` naming the first of the tokens that a vocabulary of `size` does not have. */
export function assertInVocabulary(tokens: Int32Array, size: number, where: string): void {
  const bad = tokens.find((id) => id < 0 || id >= size);
  if (bad !== undefined)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where} holds token id ${bad}; the vocabulary has ids 0 to ${size - 1}`,
    );
}
