"""Check that model.py computes what transformers' Qwen3MoeForCausalLM computes, on random weights; exits 1 if not."""
import json
import sys

import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from corpus import HERE
from model import DemoModel, Shape, hugging_face_tensors

TOLERANCE = 1e-4  # fp32 sums in another order; logits here are of size 1


def hugging_face_config(shape: Shape) -> Qwen3MoeConfig:
    return Qwen3MoeConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim, num_experts=shape.experts, num_experts_per_tok=shape.top_k,
        moe_intermediate_size=shape.expert_width, norm_topk_prob=True, max_position_embeddings=shape.context,
        rms_norm_eps=shape.norm_epsilon, rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=True)


def largest_difference(shape: Shape) -> float:
    """Between the logits of the two implementations, over 4 random sequences."""
    ours = DemoModel(shape)
    ours.initialise(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in ours.parameters():  # norms away from one, routers sharp, so that a slip shows
            parameter.add_(0.1 * parameter.abs().mean() * torch.randn(parameter.shape, generator=generator))
        for layer in ours.layers:
            layer.experts.router.mul_(20)
    theirs = Qwen3MoeForCausalLM(hugging_face_config(shape)).float().eval()
    theirs.load_state_dict(as_modules(hugging_face_tensors(ours), theirs, shape))
    tokens = torch.randint(3, shape.vocabulary, (4, 96), generator=generator)
    with torch.no_grad():
        return (theirs(input_ids=tokens).logits - ours.predict(ours(tokens)[0])).abs().max().item()


def as_modules(tensors: dict, model: Qwen3MoeForCausalLM, shape: Shape) -> dict:
    """Checkpoint names -> transformers 5 modules, which keep a layer's experts in two fused tensors."""
    fused = {name: tensor for name, tensor in tensors.items() if ".experts." not in name}
    for il in range(shape.layers):
        name = f"model.layers.{il}.mlp.experts."
        part = {p: torch.stack([tensors[f"{name}{e}.{p}_proj.weight"] for e in range(shape.experts)]) for p in ("gate", "up", "down")}
        fused[name + "gate_up_proj"], fused[name + "down_proj"] = torch.cat([part["gate"], part["up"]], 1), part["down"]
    return {**fused, "lm_head.weight": tensors["model.embed_tokens.weight"]}


if __name__ == "__main__":
    difference = largest_difference(Shape(**json.loads((HERE / "recipe.json").read_text())["model"]))
    print(f"largest logit difference to transformers: {difference:.2e}")
    sys.exit(difference > TOLERANCE)
