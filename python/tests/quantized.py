"""Experts' weights as the usual formats store them: what a checkpoint holds, and the values that stand for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

#: Along the input: weights that share a scale, in the formats of four bits. FP8 has blocks of 128 x 128.
GROUP, BLOCK = 32, 128
#: The order in which AWQ packs eight neighbours into 32 bits.
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
#: FP4's values; the sign is the highest of four bits.
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)

#: Parts of a checkpoint by what follows the weight's name, and the values.
Stored = tuple[dict[str, torch.Tensor], torch.Tensor]


def fp8(weight: torch.Tensor) -> Stored:
    """weight: [out, in]. As DeepSeek-V3 stores it."""
    blocks = weight.unflatten(0, (-1, BLOCK)).unflatten(2, (-1, BLOCK))
    scale = blocks.abs().amax((1, 3)) / torch.finfo(torch.float8_e4m3fn).max
    stored = (blocks / scale[:, None, :, None]).flatten(2).flatten(0, 1).to(torch.float8_e4m3fn)
    return {".weight": stored, ".weight_scale_inv": scale}, fp8_values(stored, scale)


def fp8_values(stored: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """[..., out, in]"""
    return stored.float() * scale.repeat_interleave(BLOCK, -2).repeat_interleave(BLOCK, -1)


def int4(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """weight: [out, in]. Levels 0 to 15 [in, out], scales [groups, out], values [out, in]; level 8 is zero."""
    groups = weight.T.unflatten(0, (-1, GROUP))
    scale = (groups.abs().amax(1) / 7).half()
    levels = ((groups / scale.float()[:, None]).round() + 8).clamp(0, 15).to(torch.int32).flatten(0, 1)
    return levels, scale, int4_values(levels, scale)


def int4_values(levels: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """levels: [..., in, out], scale: [..., groups, out] -> [..., out, in]"""
    return ((levels - 8) * scale.float().repeat_interleave(GROUP, -2)).transpose(-1, -2)


def pack(levels: torch.Tensor, order: tuple[int, ...] = tuple(range(8))) -> torch.Tensor:
    """Eight neighbours of the last axis in 32 bits, the first of `order` lowest."""
    eight = levels.unflatten(-1, (-1, 8))[..., list(order)].long()
    packed = (eight << torch.arange(0, 32, 4)).sum(-1)
    return torch.where(packed >= 1 << 31, packed - (1 << 32), packed).int()


def unpack(packed: torch.Tensor, order: tuple[int, ...] = tuple(range(8))) -> torch.Tensor:
    eight = (packed[..., None] >> torch.arange(0, 32, 4)) & 15
    return eight[..., torch.tensor(order).argsort()].flatten(-2)


def gptq(weight: torch.Tensor) -> Stored:
    """Packed along the input. Zero points are stored less one."""
    levels, scale, values = int4(weight)
    zeros = pack(torch.full((scale.shape[0], scale.shape[1]), 7))
    index = torch.arange(levels.shape[0], dtype=torch.int32) // GROUP
    return {".qweight": pack(levels.T).T.contiguous(), ".qzeros": zeros, ".scales": scale, ".g_idx": index}, values


def awq(weight: torch.Tensor) -> Stored:
    """Packed along the output."""
    levels, scale, values = int4(weight)
    zeros = pack(torch.full((scale.shape[0], scale.shape[1]), 8), AWQ_ORDER)
    return {".qweight": pack(levels, AWQ_ORDER), ".qzeros": zeros, ".scales": scale}, values


def mxfp4(weight: torch.Tensor) -> Stored:
    """weight: [expert, in, out]. As gpt-oss stores it: [expert, out, group, 16 bytes of two], powers of two as scales."""
    groups = weight.transpose(1, 2).unflatten(-1, (-1, GROUP))
    exponent = (groups.abs().amax(-1).log2().floor() - 2).clamp(-127, 127)
    scaled = groups / exponent.exp2()[..., None]
    codes = (scaled.abs()[..., None] - torch.tensor(E2M1)).abs().argmin(-1) + 8 * (scaled < 0)
    blocks, scales = (codes[..., ::2] | codes[..., 1::2] << 4).to(torch.uint8), (exponent + 127).to(torch.uint8)
    return {"_blocks": blocks, "_scales": scales}, mxfp4_values(blocks.flatten(-2), scales).transpose(1, 2)


def mxfp4_values(packed: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """packed: [..., out, in / 2], scales: [..., out, groups] -> [..., out, in]"""
    table = torch.tensor([*E2M1, *(-value for value in E2M1)])
    codes = torch.stack([packed & 15, packed >> 4], -1).flatten(-2)
    return table[codes.long()] * (scales.float() - 127).exp2().repeat_interleave(GROUP, -1)


@dataclass
class Scheme:
    """store: of the weights whose names `experts` matches; its first group is what parts are named by. settings: of config.json.
    near: how well router logits and hidden states are known in `dtype`, which the engine computes in."""

    family: str
    experts: re.Pattern[str]
    store: Callable[[torch.Tensor], Stored]
    settings: dict[str, Any]
    dtype: str = "float16"
    near: float = 0.02


OF_QWEN = re.compile(r"(.*mlp\.experts\.\d+\.(?:gate|up|down)_proj)\.weight")
OF_GPT_OSS = re.compile(r"(.*mlp\.experts\.(?:gate_up|down)_proj)")

#: Modules that stay as they are.
OTHERS = [f"model.layers.{layer}.{name}" for layer in range(3) for name in ("self_attn", "mlp.gate")]
LINEAR = [name for name in OTHERS if name.endswith("gate")] + [
    f"{name}.{part}_proj" for name in OTHERS if name.endswith("attn") for part in "qkvo"
]

SCHEMES = {
    "fp8": Scheme(
        "qwen3_moe",
        OF_QWEN,
        fp8,
        {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK], "modules_to_not_convert": LINEAR},
    ),
    "gptq": Scheme(
        "qwen3_moe",
        OF_QWEN,
        gptq,
        {
            **{"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": True, "lm_head": False},
            "dynamic": {f"-:.*{name}.*": {} for name in ("self_attn", "mlp[.]gate")},
        },
    ),
    "awq": Scheme(
        "qwen3_moe",
        OF_QWEN,
        awq,
        {
            **{"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"},
            "modules_to_not_convert": OTHERS,
        },
    ),
    # vLLM's CPU kernel computes attention sinks in bfloat16.
    "mxfp4": Scheme("gpt_oss", OF_GPT_OSS, mxfp4, {"quant_method": "mxfp4"}, dtype="bfloat16", near=0.15),
}
