/** How the common readers of tables turn one into prompts. */
const pandas = (reader: string) =>
  `make JSON lines of it, with the text under prompt: pandas.read_${reader}(...).to_json("prompts.jsonl", orient="records", lines=True)`;
const UNPACK = "unpack it first";
const AS_LINES = 'write prompts as JSON lines, {"prompt": "..."}, or as plain text with a prompt a line';

/** Formats of data whose lines are no prompts, by a file's ending. */
const BY_ENDING: Readonly<Record<string, string>> = {
  ".csv": `a table of comma-separated values, not a list of prompts; ${pandas("csv")}`,
  ".tsv": `a table of tab-separated values, not a list of prompts; ${pandas("csv")}`,
  ".parquet": `a Parquet table; ${pandas("parquet")}`,
  ".arrow": `an Arrow table; ${pandas("feather")}`,
  ".feather": `an Arrow table; ${pandas("feather")}`,
  ".xlsx": `a spreadsheet; ${pandas("excel")}`,
  ".xls": `a spreadsheet; ${pandas("excel")}`,
  ".yaml": `YAML; ${AS_LINES}`,
  ".yml": `YAML; ${AS_LINES}`,
  ".gguf": "a model, not prompts",
  ".safetensors": "a file of tensors, not prompts",
};

/** What files begin with. */
const BY_MAGIC: readonly (readonly [magic: string, format: string])[] = [
  ["PAR1", BY_ENDING[".parquet"]!],
  ["ARROW1", BY_ENDING[".arrow"]!],
  ["GGUF", BY_ENDING[".gguf"]!],
  ["PK\x03\x04", `a ZIP archive (or an office document); ${UNPACK}`],
  ["\x1f\x8b", `compressed with gzip; ${UNPACK}`],
  ["\x28\xb5\x2f\xfd", `compressed with zstd; ${UNPACK}`],
  ["BZh", `compressed with bzip2; ${UNPACK}`],
  ["\xfd7zXZ", `compressed with xz; ${UNPACK}`],
  ["%PDF", `a PDF; ${AS_LINES}`],
  ["\xff\xfe", "UTF-16 text; save it as UTF-8"],
  ["\xfe\xff", "UTF-16 text; save it as UTF-8"],
];

/** What a file is that holds no prompts, and what to do; `null` where it may be text. */
export function dataFormat(ending: string, start: Uint8Array): string | null {
  const text = Buffer.from(start.subarray(0, 8)).toString("latin1");
  const [, magic] = BY_MAGIC.find(([each]) => text.startsWith(each)) ?? [];
  return magic ?? BY_ENDING[ending.toLowerCase()] ?? null;
}
