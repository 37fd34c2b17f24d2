"""Zero experts (LongCat-Flash): slots of the router that stand for no computation, the token itself or nothing.

vLLM's router chooses among real and zero experts, adds up what the zero ones give, and then hands on expert 0 with weight 0 in their
place. What it chose passes one function before that; here it is seen on its way. Slots behind the real experts are zero experts."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from .taps import tap

MODULE = "vllm.model_executor.layers.fused_moe.router.zero_expert_router"

#: The router whose experts are chosen: the function that adds up is not told.
_router: Any = None


def count(router: Any) -> int:
    """Zero experts of a router; 0 for nearly every one."""
    if type(router).__name__ != "ZeroExpertRouter":
        return 0
    return int(router.e_score_correction_bias.numel()) - int(router.num_logical_experts)


def mark(router: Any, ids: Any, weights: Any) -> None:
    """ids, weights: places, None stays silent."""
    wrap()
    router._moescope_zero_ids, router._moescope_zero_weights = ids, weights


def wrap() -> None:
    """Gives the class its taps, once."""
    module = importlib.import_module(MODULE)
    cls = module.ZeroExpertRouter
    compute, route = module.zero_experts_compute_triton, cls._compute_routing
    if hasattr(route, "moescope_wrapped"):
        return

    @functools.wraps(route)
    def _compute_routing(self: Any, *args: Any, **kwargs: Any) -> Any:
        global _router
        _router = self
        return route(self, *args, **kwargs)

    @functools.wraps(compute)
    def zero_experts_compute_triton(expert_indices: Any, expert_scales: Any, *args: Any, **kwargs: Any) -> Any:
        for place, value in ((_router._moescope_zero_ids, expert_indices), (_router._moescope_zero_weights, expert_scales)):
            if place is not None:
                tap(place, place.anchor, value)
        return compute(expert_indices, expert_scales, *args, **kwargs)

    _compute_routing.moescope_wrapped = True
    cls._moescope_zero_ids = cls._moescope_zero_weights = None  # of a router that nobody marks
    cls._compute_routing, module.zero_experts_compute_triton = _compute_routing, zero_experts_compute_triton
