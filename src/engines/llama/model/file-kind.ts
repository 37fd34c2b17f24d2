/** Files that people take for a model, by what they begin with. */
const BY_START: readonly (readonly [start: string, what: string])[] = [
  ["PK\x03\x04", "it is a PyTorch checkpoint or another ZIP archive"],
  ["\x80\x02", "it is a Python pickle, as of a PyTorch checkpoint"],
  ["\x89HDF", "it is an HDF5 file, as of a Keras checkpoint"],
  ["lmgg", "it is a GGML file of before GGUF"],
  ["tjgg", "it is a GGJT file of before GGUF"],
  ["fmgg", "it is a GGMF file of before GGUF"],
  ["version https://git-lfs", "it is the pointer of a Git LFS file: fetch it with git lfs pull"],
  ["<!DO", "it is a web page: the download was of the page, not of the file"],
  ["<htm", "it is a web page: the download was of the page, not of the file"],
];
const CONVERT =
  "convert a Hugging Face checkpoint with llama.cpp's convert_hf_to_gguf.py, or run it with --engine vllm";

/** What a file is that does not begin as a GGUF file does. @param start its first 24 bytes. */
export function foreignFile(start: Buffer): string {
  const text = start.toString("latin1");
  const [, known] = BY_START.find(([each]) => text.startsWith(each)) ?? [];
  if (known !== undefined) return /LFS|web page/.test(known) ? known : `${known}; ${CONVERT}`;
  // The length of a header, then the header, which is JSON.
  if (text[8] === "{" && start.readBigUInt64LE(0) < 1n << 32n) return `it is a safetensors file; ${CONVERT}`;
  return `it does not begin with "GGUF"; ${CONVERT}`;
}

/** What a GGUF file is that holds no language model, or `null`. */
export function otherGguf(
  metadata: Readonly<Record<string, unknown>>,
  tensors: readonly unknown[],
): string | null {
  const type = metadata["general.type"];
  if (type === "mmproj" || metadata["general.architecture"] === "clip")
    return "it is a projector (mmproj), the part of a vision or audio model that goes beside the language model; give the model's own file";
  if (type === "adapter" || metadata["adapter.type"] !== undefined)
    return (
      "it is an adapter (LoRA) and no model; merge it into its base model with llama.cpp's llama-export-lora and give " +
      "the merged file"
    );
  if (type === "imatrix" || metadata["imatrix.datasets"] !== undefined)
    return "it is an importance matrix, which a quantiser reads, and no model";
  if (type === "vocab" || (tensors.length === 0 && metadata["tokenizer.ggml.tokens"] !== undefined))
    return "it holds a vocabulary alone: there are no weights to run";
  return null;
}
