"""A tiny random ERNIE-4.5-VL: text tokens and image tokens have experts of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import byte_bpe
import routers
import torch
import transformers
import weights
from family import EXPERTS, LAYERS, TOP_K, VOCAB, Family
from rules import SOFTMAX_NORMALIZED
from safetensors.torch import load_file, save_file

#: What the published checkpoints bring along.
CODE = Path(__file__).parent / "ernie_vl_code"

#: Tokens the processor looks for; the last ones of the vocabulary become them.
TOKENS = (
    "<|IMAGE_START|>",
    "<|image@placeholder|>",
    "<|IMAGE_PLACEHOLDER|>",
    "<|IMAGE_END|>",
    "<|VIDEO_START|>",
    "<|video@placeholder|>",
    "<|VIDEO_END|>",
)
START, PATCH, END = (VOCAB - len(TOKENS) + TOKENS.index(name) for name in ("<|IMAGE_START|>", "<|IMAGE_PLACEHOLDER|>", "<|IMAGE_END|>"))

TEXT = {
    "vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 1, "num_key_value_heads": 1,
    "intermediate_size": 32, "max_position_embeddings": 512, "moe_num_experts": EXPERTS, "moe_k": TOP_K, "moe_num_shared_experts": 1,
    "moe_intermediate_size": [8, 8], "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 4, 8]},
}  # fmt: skip
VISION = {"depth": 1, "hidden_size": 32, "num_heads": 1, "in_channels": 3, "patch_size": 14, "spatial_merge_size": 2}


def config(*_: Any) -> Any:
    vision = {**VISION, "intermediate_size": 64, "temporal_merge_size": 2}
    return transformers.Ernie4_5_VLMoeConfig(
        text_config=TEXT, vision_config=vision, image_token_id=PATCH, image_start_token_id=START, image_end_token_id=END,
        video_start_token_id=VOCAB - 3, video_end_token_id=VOCAB - 1, video_token_id=VOCAB - 2,
    )  # fmt: skip


FAMILY = Family(
    name="ernie4_5_vl_moe",
    label="ERNIE-4.5-VL-MoE",
    architecture="Ernie4_5_VLMoeForConditionalGeneration",
    model_class="Ernie4_5_VLMoeForConditionalGeneration",
    config=config,
    gating=SOFTMAX_NORMALIZED,
    shared_experts=1,
)


def build(checkpoint: Path) -> torch.nn.Module:
    """The model, saved as the published checkpoints are. vLLM's CPU router leaves the selection bias out, and its vision tower rounds
    in another way (1e-4): the bias is zero, and the tower's blocks add nothing to the patches."""
    model = weights.build(FAMILY, 0)
    for name, parameter in model.named_parameters():
        adds = "vision_tower.blocks" in name and (".attn.proj." in name or ".mlp.fc2." in name)
        if adds or name.endswith("e_score_correction_bias"):
            parameter.data.zero_()
    model.save_pretrained(checkpoint)
    path = checkpoint / "model.safetensors"
    save_file(
        {name.replace("model.vision_model.", "vision_model."): tensor for name, tensor in load_file(path).items()},
        path,
        {"format": "pt"},
    )
    byte_bpe.save(byte_bpe.train(), checkpoint, False)
    name_tokens(checkpoint / "tokenizer.json")
    for file in ("configuration_ernie.py", "processing_ernie.py"):
        shutil.copy(CODE / file, checkpoint)
    flat = {
        **TEXT,
        "architectures": [FAMILY.model_class],
        "model_type": "ernie4_5_moe_vl",
        "dtype": "float32",
        "moe_num_experts": [EXPERTS] * 2,
        "moe_layer_start_index": [1, 1],
        "moe_layer_end_index": [LAYERS - 1] * 2,
        "moe_layer_interval": 1,
        "freq_allocation": 8,
        "im_patch_id": PATCH,
        "image_start_token_id": START,
        "image_end_token_id": END,
        "pixel_hidden_size": VISION["hidden_size"],
        "spatial_conv_size": 2,
        "temporal_conv_size": 2,
        "use_temporal_conv": True,
        "use_bias": False,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "vision_config": {**VISION, "embed_dim": VISION["hidden_size"], "mlp_ratio": 2, "hidden_act": "quick_gelu"},
        "auto_map": {
            "AutoConfig": "configuration_ernie.Ernie4_5_VLMoEConfig",
            "AutoProcessor": "processing_ernie.Ernie4_5_VLProcessor",
        },
    }
    (checkpoint / "config.json").write_text(json.dumps(flat))
    processor = {"processor_class": "Ernie4_5_VLProcessor", "auto_map": {"AutoProcessor": "processing_ernie.Ernie4_5_VLProcessor"}}
    (checkpoint / "processor_config.json").write_text(json.dumps(processor))
    return model


def name_tokens(path: Path) -> None:
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    last = sorted(vocabulary, key=vocabulary.get)[-len(TOKENS) :]
    tokenizer["model"]["merges"] = [merge for merge in tokenizer["model"]["merges"] if "".join(merge) not in last]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    for old, new in zip(last, TOKENS, strict=True):
        vocabulary[new] = vocabulary.pop(old)
        tokenizer["added_tokens"].append({"id": vocabulary[new], "content": new, "special": True, **flags})
    path.write_text(json.dumps(tokenizer))


@torch.no_grad()
def values(model: Any, tokens: list[int], **image: torch.Tensor) -> dict[str, torch.Tensor]:
    """As the engine has them: experts of images numbered behind those of text. image: pixel_values and image_grid_thw of transformers'
    model; none for text."""
    found: dict[str, torch.Tensor] = {}
    parts: dict[tuple[int, int], Any] = {}
    handles = []

    def hidden_state(index: int) -> Any:
        return lambda _module, _inputs, out: found.update({f"hidden_states.{index}": out[0] if out.dim() == 3 else out})

    def decision(key: tuple[int, int]) -> Any:
        return lambda gate, inputs, out: parts.update({key: routers.decision(gate, inputs, out, FAMILY)})

    for index, layer in enumerate(model.model.language_model.layers):
        handles.append(layer.register_forward_hook(hidden_state(index)))
        for which, name in enumerate(("text_moe", "vision_moe")):
            moe = getattr(layer.mlp, name, None)
            if moe is not None:
                handles.append(moe.gate.register_forward_hook(decision((index, which))))
    ids = torch.tensor([tokens])
    visual = torch.tensor([token in (START, PATCH, END) for token in tokens])
    patches = (ids == PATCH).int()
    further = {"mm_token_type_ids": patches, "moe_mm_token_type_ids": visual[None].int()} if image else {}
    model(input_ids=ids, **image, **further)
    for handle in handles:
        handle.remove()
    if not image:
        visual[:] = False
    for index in range(1, LAYERS):
        found |= {f"{stream}.{index}": value for stream, value in joined(parts, index, visual).items()}
    return found


def joined(parts: dict[tuple[int, int], Any], index: int, visual: torch.Tensor) -> dict[str, torch.Tensor]:
    logits = torch.full((len(visual), 2 * EXPERTS), -torch.inf)
    ids, weights_ = torch.zeros((len(visual), TOP_K), dtype=torch.long), torch.zeros((len(visual), TOP_K))
    for which, rows in enumerate((~visual, visual)):
        if rows.any():
            own, chosen, mixed = parts[index, which]
            logits[rows, which * EXPERTS : (which + 1) * EXPERTS] = own
            ids[rows], weights_[rows] = chosen + which * EXPERTS, mixed
    return {"router_logits": logits, "expert_ids": ids, "expert_weights": weights_}
