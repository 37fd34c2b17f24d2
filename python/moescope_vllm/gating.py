"""How a layer turns router logits into experts, read off the router vLLM built: what runs, not what a configuration promises."""

from __future__ import annotations

from typing import Any

_SCORES = {"softmax": "softmax", "sigmoid": "sigmoid", "sqrtsoftplus": "sqrt_softplus"}


def of(runner: Any) -> dict[str, Any] | None:
    """The `Gating` of src/routing/gating.ts for a MoERunner; None where the router is a bare function nobody can ask."""
    router = runner.router
    scoring = getattr(router, "scoring_func", None)
    if getattr(router, "custom_routing_function", None) is not None or scoring not in _SCORES:
        return None
    grouped = getattr(router, "use_grouped_topk", True)
    groups = getattr(router, "num_expert_group", None) if grouped else None
    scale = (getattr(router, "routed_scaling_factor", None) or 1.0) * runner.routed_scaling_factor
    return {
        "score": _SCORES[scoring],
        "normalize": bool(router.renormalize),
        "scale": float(scale),
        "selectionBias": getattr(router, "e_score_correction_bias", None) is not None,
        "groups": {"count": groups, "used": router.topk_group} if groups and groups > 1 else None,
    }
