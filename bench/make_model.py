"""Write a random-weight MoE model for the benchmarks; by default 24 MoE layers, 32 experts, top-4, f16, about 330 MB.

    pip install gguf==0.19.0 numpy
    python bench/make_model.py bench/model.gguf
    python bench/make_model.py bench/deep.gguf --layers 48 --experts 128 --top-k 8 --hidden 64 --width 32    # 103 MB

The architecture is Qwen3-MoE; the tokenizer is the demo model's. Speed does not depend on the values of the weights,
but routers get enough spread that all experts are used.
"""

import argparse
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFWriter, GGUFValueType

HEADS, KV_HEADS, HEAD_DIM = 8, 2, 64
DEMO = Path(__file__).parent.parent / "models" / "demo" / "demo-moe.gguf"


def copy_tokenizer(writer: GGUFWriter) -> int:
    """Copy the tokenizer's keys; gives the size of the vocabulary."""
    reader = GGUFReader(DEMO)
    for name, field in reader.fields.items():
        if not name.startswith("tokenizer.") or name == "tokenizer.chat_template":
            continue
        value, kind = field.contents(), field.types[0]
        sub = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, kind, sub)
    return len(reader.fields["tokenizer.ggml.tokens"].data)


def main(target: str, layers: int, hidden: int, experts: int, top_k: int, width: int) -> None:
    writer = GGUFWriter(target, "qwen3moe")
    vocabulary = copy_tokenizer(writer)
    writer.add_name("moescope benchmark")
    writer.add_context_length(8192)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(width)
    writer.add_expert_feed_forward_length(width)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_expert_count(experts)
    writer.add_expert_used_count(top_k)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(1)
    random = np.random.default_rng(0)

    def matrix(name: str, *shape: int, spread: float = 1.0, dtype: type = np.float16) -> None:
        weights = random.standard_normal(shape, dtype=np.float32) * (spread / np.sqrt(shape[-1]))
        writer.add_tensor(name, weights.astype(dtype))

    def norm(name: str, size: int) -> None:
        writer.add_tensor(name, np.ones(size, dtype=np.float32))

    matrix("token_embd.weight", vocabulary, hidden, spread=hidden**0.5)
    for layer in range(layers):
        block = f"blk.{layer}."
        norm(block + "attn_norm.weight", hidden)
        matrix(block + "attn_q.weight", HEADS * HEAD_DIM, hidden)
        matrix(block + "attn_k.weight", KV_HEADS * HEAD_DIM, hidden)
        matrix(block + "attn_v.weight", KV_HEADS * HEAD_DIM, hidden)
        matrix(block + "attn_output.weight", hidden, HEADS * HEAD_DIM)
        norm(block + "attn_q_norm.weight", HEAD_DIM)
        norm(block + "attn_k_norm.weight", HEAD_DIM)
        norm(block + "ffn_norm.weight", hidden)
        matrix(block + "ffn_gate_inp.weight", experts, hidden, spread=3.0, dtype=np.float32)
        matrix(block + "ffn_gate_exps.weight", experts, width, hidden)
        matrix(block + "ffn_up_exps.weight", experts, width, hidden)
        matrix(block + "ffn_down_exps.weight", experts, hidden, width)
    norm("output_norm.weight", hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("target", help="the .gguf file to write")
parser.add_argument("--layers", type=int, default=24)
parser.add_argument("--hidden", type=int, default=512, help="values of a hidden state")
parser.add_argument("--experts", type=int, default=32)
parser.add_argument("--top-k", type=int, default=4)
parser.add_argument("--width", type=int, default=128, help="of an expert")
main(**vars(parser.parse_args()))
