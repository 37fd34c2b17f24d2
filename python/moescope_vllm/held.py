"""Which of a MoE layer's tensors nothing writes into before the step ends.

A CUDA graph can hold such a tensor where it lies; every other one is copied when it passes (`taps.py`). Kernels get weights and ids
as arguments and may use their memory: Llama 4's weights are overwritten with ones once the input has been multiplied by them. So a
kernel is held to write unless it is listed here. `self_check.py` looks whether the list is right for the model at hand, before
anybody captures.
"""

from __future__ import annotations

from typing import Any

#: Kernels (class of `fused_experts`) whose source was read, vLLM 0.25 to 0.33: what they do with weights and ids.
READING_EXPERTS = {
    "TritonExperts": "fused_moe_kernel loads the weights, moe_align_block_size reads the ids",
    "TritonWNA16Experts": "as TritonExperts",
    "TritonOrDeepGemmExperts": "one of TritonExperts and DeepGemmExperts",
    "TritonOrCutlassExperts": "one of TritonExperts and CutlassExpertsFp8",
    "DeepGemmExperts": "ep_gather loads both; where the input was multiplied already, it makes ones of its own",
    "CutlassExpertsFp8": "moe_unpermute and the sum read the weights, get_cutlass_moe_mm_data the ids",
    "CutlassExpertsFp4": "multiplies by a view of the weights, get_cutlass_moe_mm_data reads the ids",
    "MarlinExperts": "moe_wna16_marlin_gemm takes the weights as const, moe_align_block_size reads the ids",
    "FlashInferExperts": "cutlass_fused_moe takes both as const",
    "OAITritonExperts": "packs ids into a bitmap, converts both to other types",
    "UnfusedOAITritonExperts": "packs ids into a bitmap, converts both to other types",
}

#: What hands the kernel its input (class of `prepare_finalize`).
READING_PREPARE = {
    "MoEPrepareAndFinalizeNoDPEPModular": "multiplies the input by the weights out of place",
    "MoEPrepareAndFinalizeNaiveDPEPModular": "gathers both into new tensors",
}

#: Routers whose kernels take the logits as const and return tensors of their own.
READING_ROUTERS = frozenset({"FusedTopKRouter", "FusedTopKBiasRouter", "GroupedTopKRouter"})


def experts_are_held(runner: Any) -> bool:
    """Whether ids and weights stay as the router returned them."""
    if getattr(runner.routed_experts, "apply_router_weight_on_input", True):
        return False
    kernel = getattr(runner._quant_method, "moe_kernel", None)
    impl = getattr(kernel, "impl", kernel)
    experts, prepare = getattr(impl, "fused_experts", None), getattr(impl, "prepare_finalize", None)
    return type(experts).__name__ in READING_EXPERTS and type(prepare).__name__ in READING_PREPARE


def logits_are_held(runner: Any) -> bool:
    """Whether router logits stay as the gate made them. A gate inside the layer allocates its output itself, outside of what
    torch.compile plans the memory of; what comes from outside may lie in memory that the compiled graph uses again."""
    return runner.gate is not None and type(runner.router).__name__ in READING_ROUTERS
