"""How a layer turns router logits into experts: read off the router vLLM built, and believed only if the values say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import torch

from .streams import EXPERT_IDS, EXPERT_WEIGHTS, ROUTER_LOGITS

if TYPE_CHECKING:
    from .moe_layers import MoeLayer
    from .witness import Said

#: The `Gating` of src/core/gating.ts.
Gating = dict[str, Any]

_SCORES = {"softmax": "softmax", "sigmoid": "sigmoid", "sqrtsoftplus": "sqrt_softplus"}

#: Largest difference of a weight from its rule, as a share of it. Both are float32 as a rule, of logits in half precision sometimes.
SAME = 1e-3


def of(runner: Any) -> Gating | None:
    """What a MoERunner's router says of itself; None where that is a bare function nobody can ask."""
    router = runner.router
    scoring = getattr(router, "scoring_func", None)
    if getattr(router, "custom_routing_function", None) is not None or scoring not in _SCORES:
        return None
    grouped = getattr(router, "use_grouped_topk", True)
    groups = getattr(router, "num_expert_group", None) if grouped else None
    scale = (getattr(router, "routed_scaling_factor", None) or 1.0) * runner.routed_scaling_factor
    by_token = getattr(router, "_hash_indices_table", getattr(router, "hash_indices_table", None)) is not None
    return {
        "score": _SCORES[scoring],
        "chosenBy": "token_id" if by_token else "scores",
        "normalize": bool(router.renormalize),
        "scale": float(scale),
        "selectionBias": getattr(router, "e_score_correction_bias", None) is not None,
        "groups": {"count": groups, "used": router.topk_group} if groups and groups > 1 else None,
        "weighted": weighted(runner),
    }


def weighted(runner: Any) -> str:
    return "inputs" if getattr(runner.routed_experts, "apply_router_weight_on_input", False) else "outputs"


def shown_by(layer: MoeLayer, said: Mapping[tuple[str, int], Said], biases: Sequence[torch.Tensor] = ()) -> Gating | None:
    """The rule by which a layer's logits give its experts and weights in one step: the declared one if it does, else the one that does,
    None when none does or not all three streams are there. biases: that the selection may have, beside the router's own."""
    values = [said.get((stream, layer.number)) for stream in (ROUTER_LOGITS, EXPERT_IDS, EXPERT_WEIGHTS)]
    if any(value is None for value in values):
        return layer.gating
    logits, ids, weights = (value.copy.cpu() for value in values)
    logits, ids, weights = logits.double(), ids.long(), weights.double() * layer.scale
    own = getattr(getattr(layer.runner, "router", None), "e_score_correction_bias", None)
    found = [bias.detach().cpu().double().flatten() for bias in (*biases, *([] if own is None else [own]))]
    tried = (
        (rule, bias) for rule in candidates(layer, bool(biases)) for bias in (found if rule["selectionBias"] and found else [None])
    )
    return next((rule for rule, bias in tried if explains(rule, logits, ids, weights, bias)), None)


def candidates(layer: MoeLayer, biased: bool) -> list[Gating]:
    """The declared rule first. biased: whether one with a selection bias is possible although none is declared."""
    declared = layer.gating
    base = {"chosenBy": "scores", "scale": 1.0, "selectionBias": biased, "groups": None, "weighted": weighted_in(layer)}
    base |= declared or {}
    rules = [] if declared is None else [declared, {**declared, "selectionBias": False}]
    rules += [
        {**base, "score": score, "normalize": normalize, "selectionBias": biased, "chosenBy": chosen_by}
        for score, normalize, biased, chosen_by in product(
            ("softmax", "sigmoid", "sqrt_softplus"), (True, False), sorted({base["selectionBias"], False}), ("scores", "logits")
        )
    ]
    return rules


def weighted_in(layer: MoeLayer) -> str:
    return "outputs" if layer.runner is None else weighted(layer.runner)


def explains(rule: Gating, logits: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """logits: [rows, experts]; ids, weights: [rows, k]; bias: of the selection. All on the host, in double precision."""
    scores = scored(rule["score"], logits)
    chosen = scores.gather(1, ids)
    if rule["normalize"]:
        chosen = chosen / chosen.sum(-1, keepdim=True)
    expected = chosen * rule["scale"]
    if ((weights - expected).abs() > SAME * expected.abs() + 1e-9).any():
        return False
    if rule["chosenBy"] == "token_id" or (rule["selectionBias"] and bias is None):
        return True  # which experts that gives is not known here
    choice = logits if rule["chosenBy"] == "logits" else scores
    if rule["selectionBias"]:
        choice = choice + bias
    if rule["groups"] is not None:
        choice = only_best_groups(choice, rule["groups"]["count"], rule["groups"]["used"], rule["selectionBias"])
    # Among the chosen ones, the least is no less than any other: scores that are equal may go either way.
    least = choice.gather(1, ids).min(-1).values
    others = choice.scatter(1, ids, float("-inf")).max(-1).values
    return bool((least >= others - 1e-6 * (1 + others.abs())).all())


def scored(score: str, logits: torch.Tensor) -> torch.Tensor:
    if score == "softmax":
        return logits.softmax(-1)
    return logits.sigmoid() if score == "sigmoid" else torch.nn.functional.softplus(logits).sqrt()


def only_best_groups(choice: torch.Tensor, count: int, used: int, biased: bool) -> torch.Tensor:
    """A group is as good as its best expert, with a selection bias as its two best ones (DeepSeek-V3)."""
    groups = choice.view(choice.shape[0], count, -1)
    best = groups.topk(2, -1).values.sum(-1) if biased else groups.max(-1).values
    kept = torch.zeros_like(best).scatter(1, best.topk(used, -1).indices, 1.0).bool()
    return groups.masked_fill(~kept[:, :, None], float("-inf")).view(choice.shape)
