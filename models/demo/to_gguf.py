"""Step 4: `work/model.safetensors` and `work/tokenizer.json` -> `demo-moe.gguf`, as llama.cpp's own converter writes it.

Nothing is lost: matrices stay bf16, and the norms and routers, which llama.cpp wants in F32, hold bf16 values.
The step ends by making the Hugging Face checkpoint back from the GGUF and comparing it with the trained one byte
by byte; the sums of all three files go to checksums.json, against which to_hf.py checks itself.
"""
import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

from corpus import HERE
from model import Shape
from to_hf import CHAT_TEMPLATE, HF_TO_GGUF, LAYER_PARTS, restore
from tokens import BOS, EOS, PAD

BF16, F32 = gguf.GGMLQuantizationType.BF16, gguf.GGMLQuantizationType.F32


def write(path: Path, tensors: dict[str, torch.Tensor], tokenizer: dict, shape: Shape) -> None:
    writer = gguf.GGUFWriter(path, "qwen3moe")
    writer.add_type("model")
    writer.add_name("moescope demo")
    writer.add_description("A 7 M parameter mixture of experts that routes seven kinds of text, trained for moescope.")
    writer.add_size_label("7M")
    writer.add_languages(["en", "de", "fr"])
    add_shape(writer, shape)
    add_tokenizer(writer, tokenizer)
    for name, tensor in gguf_tensors(tensors, shape).items():
        values = tensor.float().numpy()
        kind = F32 if values.ndim == 1 or "ffn_gate_inp" in name else BF16
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.expert_width * shape.top_k)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_expert_count(shape.experts)
    writer.add_expert_used_count(shape.top_k)
    writer.add_expert_feed_forward_length(shape.expert_width)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: dict) -> None:
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    special = {token["content"] for token in tokenizer["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in vocabulary])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(PAD)
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def gguf_tensors(tensors: dict[str, torch.Tensor], shape: Shape) -> dict[str, torch.Tensor]:
    """GGUF's names; the experts of a layer stacked."""
    renamed = {gguf_name: tensors[name] for name, gguf_name in HF_TO_GGUF.items()}
    for il in range(shape.layers):
        for name, gguf_name in LAYER_PARTS.items():
            renamed[f"blk.{il}.{gguf_name}"] = tensors[f"model.layers.{il}.{name}"]
        for part in ("gate", "up", "down"):
            renamed[f"blk.{il}.ffn_{part}_exps.weight"] = torch.stack(
                [tensors[f"model.layers.{il}.mlp.experts.{expert}.{part}_proj.weight"] for expert in range(shape.experts)])
    return renamed


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build(recipe: dict, work: Path, target: Path) -> None:
    write(target, load_file(work / "model.safetensors"), json.loads((work / "tokenizer.json").read_text()), Shape(**recipe["model"]))
    with tempfile.TemporaryDirectory() as folder:
        restore(target, Path(folder))
        for name in ("model.safetensors", "tokenizer.json"):
            if (Path(folder) / name).read_bytes() != (work / name).read_bytes():
                raise RuntimeError(f"{name} made from the GGUF differs from the trained one: the GGUF loses something")
        sums = {target.name: sha256(target), **{name: sha256(Path(folder) / name) for name in ("model.safetensors", "tokenizer.json")}}
    (target.parent / "checksums.json").write_text(json.dumps({"sha256": sums}, indent=2) + "\n")
    print(f"{target.name}: {target.stat().st_size:,} bytes; the checkpoint made from it equals the trained one byte for byte")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--out", type=Path, default=HERE / "demo-moe.gguf")
    arguments = parser.parse_args()
    build(json.loads((HERE / "recipe.json").read_text()), arguments.work, arguments.out)
