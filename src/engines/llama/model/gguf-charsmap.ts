/**
 * What is wrong with the table of replacements by which a unigram tokenizer normalises text, or `null`. llama.cpp throws out of
 * its tokenizer, and so ends the process, where a text leads out of the table; here every way through it is walked.
 *
 * Source: `llm_tokenizer_ugm_session::normalize_prefix`: an XOR-compressed compact double array, then texts that end in NUL.
 */
export function charsmapFault(values: unknown): string | null {
  if (!Array.isArray(values) || !values.every((value) => Number.isInteger(value)))
    return "tokenizer.ggml.precompiled_charsmap is no list of bytes";
  const bytes = Uint8Array.from(values);
  if (bytes.length === 0) return null;
  const fault = "tokenizer.ggml.precompiled_charsmap is damaged: ";
  if (bytes.length < 4) return `${fault}it has ${bytes.length} bytes`;
  const view = new DataView(bytes.buffer);
  const blob = view.getUint32(0, true);
  if (blob + 4 >= bytes.length) return `${fault}its table ends behind its end`;
  const size = blob >>> 2;
  const node = (index: number) => view.getUint32(4 + 4 * index, true);
  const base = (packed: number) => ((packed >>> 10) << ((packed & 0x200) >>> 6)) >>> 0;
  const replacements = bytes.subarray(4 + blob);
  // Texts behind the last NUL do not end.
  const end = replacements.lastIndexOf(0);
  if (size === 0) return null;
  const seen = new Set<number>();
  const open = [base(node(0))];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (seen.has(at)) continue;
    seen.add(at);
    for (let byte = 1; byte < 256; byte++) {
      const index = (at ^ byte) >>> 0;
      if (index >= size) return `${fault}a text may lead to entry ${index} of ${size}`;
      const packed = node(index);
      if ((packed & 0x800000ff) >>> 0 !== byte) continue;
      const next = (index ^ base(packed)) >>> 0;
      if ((packed >>> 8) & 1) {
        if (next >= size) return `${fault}a text may lead to entry ${next} of ${size}`;
        const text = node(next) & 0x7fffffff;
        if (text > end) return `${fault}a replacement begins at ${text} and does not end`;
      }
      open.push(next);
    }
  }
  return null;
}
