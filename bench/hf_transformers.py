"""The Hugging Face side of bench/transformers.mjs: hf_transformers.py MODEL.gguf F32.gguf THREADS TOKENS.json COUNT.

Writes the model's weights as float32 to F32.gguf, so that both sides compute with the same numbers, and loads that file
into transformers.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, GGUFValueType, GGUFWriter, dequantize
from runs import serve
from transformers import AutoModelForCausalLM

SOURCE, F32, THREADS, TOKENS, COUNT = sys.argv[1:]


def write_float32(source: str, target: str) -> None:
    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        writer.add_key_value(name, field.contents(), kind, field.types[-1] if kind == GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


write_float32(SOURCE, F32)
torch.set_num_threads(int(THREADS))
path = Path(F32)
model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
prompts = [torch.tensor([tokens]) for tokens in json.loads(Path(TOKENS).read_text())]


@torch.inference_mode()
def prefill() -> list[float]:
    """Router logits of each prompt's tokens; of the first prompt, layer 0, the first row comes back for comparison."""
    outputs = [model(prompt, output_router_logits=True, use_cache=False) for prompt in prompts]
    return outputs[0].router_logits[0][0].float().tolist()


@torch.inference_mode()
def generate() -> list[int]:
    """Greedy, token by token with the cache, keeping each step's router logits: `generate` has no option for them."""
    out = model(prompts[0], output_router_logits=True, use_cache=True)
    tokens, kept = [], [out.router_logits]
    for step in range(int(COUNT)):
        tokens.append(int(out.logits[0, -1].argmax()))
        if step + 1 == int(COUNT):
            break
        out = model(
            torch.tensor([tokens[-1:]]), past_key_values=out.past_key_values, output_router_logits=True, use_cache=True
        )
        kept.append(out.router_logits)
    return tokens


@torch.inference_mode()
def peak() -> float:
    """What the processor's matrix products reach, in GFLOP/s: a product of two float32 matrices of 2048 x 2048."""
    a, b = torch.rand(2, 2048, 2048)
    began = time.perf_counter()
    torch.mm(a, b)
    return 2 * 2048**3 / (time.perf_counter() - began) / 1e9


def prefill_work() -> float:
    """GFLOP of the matrix products of one prefill: two for each weight a token meets; attention's own are left out."""
    config = model.config
    used = config.num_experts_per_tok / config.num_experts
    weights = sum(p.numel() * (used if ".experts." in name else 1) for name, p in model.model.layers.named_parameters())
    return 2 * weights * sum(prompt.numel() for prompt in prompts) / 1e9


serve({"prefill": prefill, "generate": generate, "peak": peak, "prefill work": prefill_work})
