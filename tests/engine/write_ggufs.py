"""write_ggufs.py MODEL.gguf FOLDER: the same float32 model as other tools write it, one file (or split) for each way.

Written with the `gguf` package, which llama.cpp's own converters use.
"""

import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants

SOURCE, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
PARTS = 3
#: Keys with a default in llama.cpp, or that only people read.
OPTIONAL = {
    "general.type",
    "general.name",
    "general.size_label",
    "general.file_type",
    "general.quantization_version",
    "qwen3moe.rope.freq_base",
    "tokenizer.ggml.padding_token_id",
    "tokenizer.chat_template",
}

reader = GGUFReader(SOURCE)


def copy_to(
    writer: GGUFWriter,
    without: frozenset[str] | set[str] = frozenset(),
    experts: str | None = None,
    widen: bool = False,
) -> None:
    """Copy keys and tensors; the experts' weights as the given type where their rows fill its blocks, else as F16.

    With `widen` the numbers that those types hold, as float32.
    """
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or name in without:
            continue
        kind = field.types[0]
        writer.add_key_value(name, field.contents(), kind, field.types[-1] if kind == GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        data = np.array(tensor.data)
        if experts is None or "_exps" not in tensor.name:
            writer.add_tensor(tensor.name, data)
            continue
        kind = GGMLQuantizationType[experts]
        if data.shape[-1] % quants.GGML_QUANT_SIZES[kind][0]:
            kind = GGMLQuantizationType.F16
        rounded = quants.quantize(data, kind)
        if widen:
            writer.add_tensor(tensor.name, quants.dequantize(rounded, kind).astype(np.float32).reshape(data.shape))
        else:
            writer.add_tensor(tensor.name, rounded, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def new(name: str, **options: int) -> GGUFWriter:
    return GGUFWriter(FOLDER / f"{name}.gguf", reader.fields["general.architecture"].contents(), **options)


copy_to(new("plain"))

aligned = new("aligned")
aligned.add_custom_alignment(64)
copy_to(aligned)

copy_to(new("split", split_max_tensors=-(-len(reader.tensors) // PARTS)))

unknown = new("unknown")
unknown.add_array("somebody.strings", ["a", "", "\u00fc \U0001f9ed"])
unknown.add_array("somebody.numbers", [1.5, -2.5])
unknown.add_array("general.tags", ["mixture-of-experts"])
unknown.add_bool("somebody.flag", True)
unknown.add_int64("somebody.large", -(2**62))
unknown.add_string("qwen3moe.something.new", "x" * 100_000)
copy_to(unknown)

copy_to(new("missing"), without=OPTIONAL)

nested = new("nested")
nested.add_array("somebody.nested", [[1, 2], [3, 4]])
copy_to(nested)

for kind in ("F16", "BF16", "Q8_0", "Q4_0", "Q5_1", "MXFP4"):
    copy_to(new(kind), experts=kind)
    copy_to(new(f"{kind}-as-F32"), experts=kind, widen=True)
