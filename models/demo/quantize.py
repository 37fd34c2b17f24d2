"""Write a model with its matrices in Q4_0 (or Q8_0): what llama-quantize does, but for the output.

    python models/demo/quantize.py models/demo/demo-moe.gguf demo-q4_0.gguf Q4_0

Like llama-quantize it leaves norms and routers (`ffn_gate_inp`) as they are, so routing changes only by what reaches
the routers. The embedding, which is also the output here, is Q8_0; llama-quantize makes it Q6_K, which gguf-py cannot.
"""

import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize, quantize

KEPT = ("ffn_gate_inp", "norm")


def main(source: str, target: str, quantization: str) -> None:
    matrices = GGMLQuantizationType[quantization]
    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        if kind == GGUFValueType.ARRAY:
            writer.add_key_value(field.name, field.contents(), kind, field.types[-1])
        elif field.name != "general.file_type":
            writer.add_key_value(field.name, field.contents(), kind)
    for tensor in reader.tensors:
        kind = type_of(tensor, matrices)
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def type_of(tensor, matrices: GGMLQuantizationType) -> GGMLQuantizationType:
    # A block is 32 values of a row.
    if any(part in tensor.name for part in KEPT) or len(tensor.shape) < 2 or tensor.shape[0] % 32:
        return GGMLQuantizationType.F32
    if tensor.name in ("token_embd.weight", "output.weight"):
        return GGMLQuantizationType.Q8_0
    return matrices


if __name__ == "__main__":
    main(*sys.argv[1:])
