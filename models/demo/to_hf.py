#!/usr/bin/env python3
"""demo-moe.gguf -> a Hugging Face checkpoint, bit for bit the one that training saved.

usage: to_hf.py OUT [--gguf demo-moe.gguf]

Writes config.json, generation_config.json, model.safetensors (bf16, one tensor an expert, as on the Hub),
tokenizer.json and tokenizer_config.json. Needs gguf, numpy and tokenizers; no torch. The weights and
the tokenizer are compared with checksums.json, and the exit status is 1 if they differ.
"""
import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

HERE = Path(__file__).resolve().parent
HF_TO_GGUF = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
LAYER_PARTS = {
    "input_layernorm.weight": "attn_norm.weight", "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight", "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight", "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight", "self_attn.k_norm.weight": "attn_k_norm.weight",
    "mlp.gate.weight": "ffn_gate_inp.weight",
}
# As the dialogues of arithmetic.py are laid out.
CHAT_TEMPLATE = ("{{ bos_token }}{% for message in messages %}"
                 "{% if message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + '\n\n' }}"
                 "{% else %}{{ 'User: ' + message['content'] + '\n' }}{% endif %}{% endfor %}"
                 "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}")


def restore(path: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    reader = GGUFReader(path)
    field = {name: value.contents() for name, value in reader.fields.items()}
    save_weights(checkpoint_tensors(reader, field), out / "model.safetensors")
    tokenizer(field).save(str(out / "tokenizer.json"))
    token = field["tokenizer.ggml.tokens"]
    special = {kind: field[f"tokenizer.ggml.{kind}_token_id"] for kind in ("bos", "eos", "padding")}
    bos, eos, pad = (token[special[kind]] for kind in ("bos", "eos", "padding"))
    dump(out / "config.json", config(field, special))
    dump(out / "generation_config.json", {"bos_token_id": special["bos"], "eos_token_id": special["eos"], "pad_token_id": special["padding"]})
    dump(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos, "pad_token": pad,
        "model_max_length": field["qwen3moe.context_length"], "clean_up_tokenization_spaces": False,
        "chat_template": field["tokenizer.chat_template"]})


def dump(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def checkpoint_tensors(reader: GGUFReader, field: dict) -> dict[str, np.ndarray]:
    """Hub names -> the 16 bits of each bf16 value, in the tensor's shape."""
    stored = {tensor.name: bf16_bits(tensor) for tensor in reader.tensors}
    tensors = {name: stored[gguf_name] for name, gguf_name in HF_TO_GGUF.items()}
    for il in range(field["qwen3moe.block_count"]):
        for name, gguf_name in LAYER_PARTS.items():
            tensors[f"model.layers.{il}.{name}"] = stored[f"blk.{il}.{gguf_name}"]
        for part in ("gate", "up", "down"):
            for expert, weight in enumerate(stored[f"blk.{il}.ffn_{part}_exps.weight"]):
                tensors[f"model.layers.{il}.mlp.experts.{expert}.{part}_proj.weight"] = weight
    return tensors


def bf16_bits(tensor) -> np.ndarray:
    shape = tensor.shape[::-1]  # GGUF counts the fastest axis first
    if tensor.tensor_type.name == "BF16":
        return tensor.data.view(np.uint16).reshape(shape)
    bits = np.ascontiguousarray(tensor.data).view(np.uint32).reshape(shape)
    if (bits & 0xFFFF).any():
        raise ValueError(f"{tensor.name} holds values that bf16 cannot: this GGUF was not made by to_gguf.py")
    return (bits >> 16).astype(np.uint16)


def save_weights(tensors: dict[str, np.ndarray], path: Path) -> None:
    """A safetensors file as the safetensors library lays it out: by name, the header padded to 8 bytes."""
    header, data, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        data.append(tensors[name].astype("<u2").tobytes())
        header[name] = {"dtype": "BF16", "shape": list(tensors[name].shape), "data_offsets": [at, at + len(data[-1])]}
        at += len(data[-1])
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"".join(data))


def tokenizer(field: dict) -> Tokenizer:
    tokens, types = field["tokenizer.ggml.tokens"], field["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in field["tokenizer.ggml.merges"]]
    bpe = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(tokens)}, merges=merges))
    control = 3  # gguf.TokenType.CONTROL
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, types) if kind == control])
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bpe.decoder = decoders.ByteLevel()
    at = field["tokenizer.ggml.bos_token_id"]
    bos = tokens[at]
    bpe.post_processor = processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, at)])
    return bpe


def config(field: dict, special: dict[str, int]) -> dict:
    get = lambda key: field[f"qwen3moe.{key}"]  # noqa: E731
    theta = float(np.float32(get("rope.freq_base")))
    return {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "dtype": "bfloat16", "torch_dtype": "bfloat16",
        "vocab_size": len(field["tokenizer.ggml.tokens"]), "hidden_size": get("embedding_length"),
        "num_hidden_layers": get("block_count"), "num_attention_heads": get("attention.head_count"),
        "num_key_value_heads": get("attention.head_count_kv"), "head_dim": get("attention.key_length"),
        "num_experts": get("expert_count"), "num_experts_per_tok": get("expert_used_count"),
        "moe_intermediate_size": get("expert_feed_forward_length"), "intermediate_size": get("feed_forward_length"),
        "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [], "hidden_act": "silu",
        "attention_bias": False, "attention_dropout": 0.0, "max_position_embeddings": get("context_length"),
        "rms_norm_eps": float(f"{get('attention.layer_norm_rms_epsilon'):.7g}"), "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta}, "sliding_window": None, "use_sliding_window": False,
        "tie_word_embeddings": True, "use_cache": True, "initializer_range": 0.02, "router_aux_loss_coef": 0.01,
        "output_router_logits": False, "bos_token_id": special["bos"], "eos_token_id": special["eos"], "pad_token_id": special["padding"],
    }


def differing(out: Path, sums: dict[str, str]) -> list[str]:
    """The written files whose sums are not the recorded ones."""
    return [name for name, digest in sums.items() if (out / name).exists() and hashlib.sha256((out / name).read_bytes()).hexdigest() != digest]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gguf", type=Path, default=HERE / "demo-moe.gguf")
    arguments = parser.parse_args()
    restore(arguments.gguf, arguments.out)
    if arguments.gguf.resolve() == HERE / "demo-moe.gguf":
        if wrong := differing(arguments.out, json.loads((HERE / "checksums.json").read_text())["sha256"]):
            sys.exit(f"{', '.join(wrong)} differ from what training saved (checksums.json)")
        print(f"{arguments.out}: bit for bit the trained checkpoint")
