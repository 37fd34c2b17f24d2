"""Kernels that vLLM's CPU backend lacks or has wrong, as PyTorch formulas. Where a kernel's GPU version exists, GPUs run that one."""

from __future__ import annotations

from typing import Any

import check_rotary
import torch
import torch.nn.functional as F


def install(family: str) -> None:
    """What the family needs; nothing for most. Call before its model is loaded."""
    if family == "deepseek_v2":
        check_rotary.main()  # why, and whether still
        from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding

        RotaryEmbedding.forward_cpu = RotaryEmbedding.forward_native
    if family == "arctic":
        from vllm.model_executor.models import arctic

        arctic.fused_topk, arctic.fused_experts = fused_topk, fused_experts


def fused_topk(_x: torch.Tensor, logits: torch.Tensor, top_k: int, renormalize: bool) -> tuple[torch.Tensor, torch.Tensor, None]:
    weights, ids = logits.softmax(-1).topk(top_k, -1)
    return weights / weights.sum(-1, keepdim=True) if renormalize else weights, ids.int(), None


def fused_experts(x: torch.Tensor, gate_up: torch.Tensor, down: torch.Tensor, weights: torch.Tensor, ids: torch.Tensor) -> Any:
    """x: [token, hidden]. Every expert computes every token, as the experts are tiny."""
    gate, up = torch.einsum("th,eih->tei", x, gate_up).chunk(2, -1)
    every = torch.einsum("tei,ehi->teh", F.silu(gate) * up, down)
    chosen = every.gather(1, ids.long()[:, :, None].expand(-1, -1, x.shape[1]))
    return (weights[:, :, None] * chosen).sum(1)
