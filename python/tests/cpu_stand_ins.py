"""Kernels that vLLM's CPU backend lacks or has wrong, as PyTorch formulas. Where a kernel's GPU version exists, GPUs run that one."""

from __future__ import annotations

from typing import Any

import check_rotary
import quantized
import torch
import torch.nn.functional as F

#: Families whose queries and keys the CPU's rotary kernel mixes up.
LATENT = ("deepseek_v2", "deepseek_v3", "glm4_moe_lite", "longcat_flash")

#: Families that choose experts by sigmoids without groups, which the CPU's router does not.
SIGMOID = ("laguna", "minimax_m2", "solar_open", "nemotron_h", "hy_v3")


def install(family: str) -> None:
    """What the family needs; nothing for most. Call before its model is loaded."""
    if family in LATENT:
        check_rotary.main()  # why, and whether still
        from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding

        RotaryEmbedding.forward_cpu = RotaryEmbedding.forward_native
    if family in SIGMOID:
        install_router()
    if family == "ernie4_5_vl_moe":
        from vllm.model_executor.layers.rotary_embedding.ernie45_vl_rope import Ernie4_5_VLRotaryEmbedding as Rotary

        # The one for CPUs hands its formula an argument that it does not take.
        Rotary.forward_cpu = lambda self, positions, query, key, offsets=None: self.forward_native(positions, query, key)
    if family == "longcat_flash":
        install_zero_experts()
    if family == "arctic":
        from vllm.model_executor.models import arctic

        arctic.fused_topk, arctic.fused_experts = fused_topk, fused_experts
    if family == "nomic_bert_moe":
        from vllm.model_executor.models import bert_with_rope

        bert_with_rope.fused_topk = fused_topk
        bert_with_rope.torch = OwnExperts(bert_with_rope.torch)


def install_router() -> None:
    """Top-k of sigmoids or softmax with a selection bias, as `fused_topk_bias` computes it on GPUs."""
    from vllm.model_executor.layers.fused_moe.router.cpu_router import CPURouter

    original = CPURouter._compute_routing

    def _compute_routing(self: Any, hidden_states: Any, router_logits: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.use_grouped_topk or self.scoring_func != "sigmoid" or self.custom_routing_function is not None:
            return original(self, hidden_states, router_logits, *args, **kwargs)
        weights, ids = biased_topk(router_logits, self.e_score_correction_bias, self.top_k, torch.sigmoid)
        weights = weights / weights.sum(-1, keepdim=True) if self.renormalize else weights
        return weights * self.routed_scaling_factor, ids

    CPURouter._compute_routing = _compute_routing


def install_zero_experts() -> None:
    """The router's top-k and the identity experts, both of them Triton's or CUDA's."""
    from vllm.model_executor.layers.fused_moe.router import zero_expert_router

    def fused_topk_bias(
        hidden_states: Any, gating_output: torch.Tensor, e_score_correction_bias: torch.Tensor, topk: int, **_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return biased_topk(gating_output, e_score_correction_bias, topk, lambda logits: logits.softmax(-1))

    def zero_experts_compute_triton(
        expert_indices: torch.Tensor, expert_scales: torch.Tensor, num_experts: int, zero_expert_type: str, hidden_states: torch.Tensor
    ) -> torch.Tensor:
        assert zero_expert_type == "identity", zero_expert_type
        zero = expert_indices >= num_experts
        share = (expert_scales * zero).sum(-1, keepdim=True)
        expert_indices[zero], expert_scales[zero] = 0, 0.0  # as the kernel does, to its arguments
        return (hidden_states * share).to(hidden_states.dtype)

    zero_expert_router.fused_topk_bias = fused_topk_bias
    zero_expert_router.zero_experts_compute_triton = zero_experts_compute_triton


def biased_topk(logits: torch.Tensor, bias: torch.Tensor | None, top_k: int, score: Any) -> tuple[torch.Tensor, torch.Tensor]:
    scores = score(logits.float())
    ids = (scores if bias is None else scores + bias.float()).topk(top_k, -1, sorted=False).indices
    return scores.gather(1, ids), ids.int()


class OwnExperts:
    """A module's `torch` in which vLLM's operator of fused experts is there; its own is compiled for GPUs."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.ops = self.vllm = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @staticmethod
    def fused_experts(hidden_states: Any, w1: Any, w2: Any, topk_weights: Any, topk_ids: Any, activation: Any) -> torch.Tensor:
        return fused_experts(hidden_states, w1, w2, topk_weights, topk_ids, lambda up: F.gelu(up))


def install_quantized() -> None:
    """Experts in FP8 and four bits, whose kernels need AMX."""
    from vllm import _custom_ops
    from vllm.model_executor.layers.fused_moe.experts import cpu_moe

    def values_of_int4(w13: Any, w2: Any, s13: Any, s2: Any, quant_algo: Any, w13_zeros: Any = None, w2_zeros: Any = None) -> Any:
        """Packed [expert, in / 8, out] (GPTQ) or [expert, in, out / 8] (AWQ) -> values [expert, out, in], in place of blocks."""
        awq = quant_algo == _custom_ops.CPUQuantAlgo.AWQ

        def values(packed: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            levels = quantized.unpack(packed, quantized.AWQ_ORDER) if awq else quantized.unpack(packed.transpose(1, 2)).transpose(1, 2)
            return quantized.int4_values(levels, scale)

        return values(w13, s13), values(w2, s2), s13, s2, w13_zeros, w2_zeros

    def values_of_mxfp4(w13: Any, w2: Any, s13: Any, s2: Any) -> Any:
        return quantized.mxfp4_values(w13, s13), quantized.mxfp4_values(w2, s2), s13, s2

    def fused_experts_cpu(
        out: Any, x: Any, w1: Any, w2: Any, weights: Any, ids: Any, method: Any, s1: Any, s2: Any, *more: Any
    ) -> None:
        _zero1, _zero2, _block, bias1, bias2, alpha, limit, _packed = more
        if method == cpu_moe.CPUQuantMethod.FP8_W8A16:
            w1, w2 = quantized.fp8_values(w1, s1), quantized.fp8_values(w2, s2)
        gated = gpt_oss_gate(alpha, limit) if method == cpu_moe.CPUQuantMethod.MXFP4 else silu_gate
        out.copy_(fused_experts(x.float(), w1, w2, weights.float(), ids, gated, bias1, bias2))

    for experts in (cpu_moe.CPUExpertsFp8, cpu_moe.CPUExpertsInt4, cpu_moe.CPUExpertsMxfp4):
        experts._supports_current_device = staticmethod(lambda: True)
    cpu_moe.prepare_fp8_moe_layer_for_cpu = lambda w13, w2: (w13, w2)
    cpu_moe.prepare_int4_moe_layer_for_cpu = values_of_int4
    cpu_moe.prepare_mxfp4_moe_layer_for_cpu = values_of_mxfp4
    cpu_moe.fused_experts_cpu = fused_experts_cpu


def fused_topk(_x: torch.Tensor, logits: torch.Tensor, top_k: int, renormalize: bool) -> tuple[torch.Tensor, torch.Tensor, None]:
    weights, ids = logits.softmax(-1).topk(top_k, -1)
    return weights / weights.sum(-1, keepdim=True) if renormalize else weights, ids.int(), None


def silu_gate(gate_up: torch.Tensor) -> torch.Tensor:
    """[..., gate and up, one after the other]"""
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


def gpt_oss_gate(alpha: float, limit: float) -> Any:
    """Gate and up take turns."""

    def gated(gate_up: torch.Tensor) -> torch.Tensor:
        gate, up = gate_up[..., ::2].clamp(max=limit), gate_up[..., 1::2].clamp(-limit, limit)
        return (up + 1) * gate * torch.sigmoid(gate * alpha)

    return gated


def fused_experts(
    x: torch.Tensor, gate_up: torch.Tensor, down: torch.Tensor, weights: torch.Tensor, ids: torch.Tensor, gated: Any = silu_gate,
    gate_up_bias: torch.Tensor | None = None, down_bias: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    """x: [token, hidden]. Every expert computes every token, as the experts are tiny."""
    inner = torch.einsum("th,eih->tei", x, gate_up)
    every = torch.einsum("tei,ehi->teh", gated(inner if gate_up_bias is None else inner + gate_up_bias), down)
    every = every if down_bias is None else every + down_bias
    chosen = every.gather(1, ids.long()[:, :, None].expand(-1, -1, x.shape[1]))
    return (weights[:, :, None] * chosen).sum(1)
