"""MoE blocks that call vLLM's kernels themselves, without its MoE layer: Snowflake Arctic's, which vLLM has up to 0.28, and NomicMoE's."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .streams import EXPERT_IDS, EXPERT_WEIGHTS, ROUTER_LOGITS
from .taps import Place, tap


@dataclass(frozen=True)
class Kind:
    """A class of such blocks. method: the one that calls its module's `fused_topk`. is_moe: whether a block is one; others are dense.
    experts: how many it chooses among. normalize: whether the chosen experts' weights are divided by their sum."""

    module: str
    name: str
    method: str
    is_moe: Callable[[Any], bool]
    experts: Callable[[Any], int]
    normalize: Callable[[Any], bool]


KINDS = (
    Kind(
        "vllm.model_executor.models.arctic",
        "ArcticMoE",
        "local_moe_fused",
        lambda block: block.is_moe_layer,
        lambda block: block.num_experts,
        lambda block: block.top_k > 1,
    ),
    Kind(
        "vllm.model_executor.models.bert_with_rope",
        "NomicMoE",
        "forward",
        lambda _block: True,
        lambda block: block.num_total_experts,
        lambda _block: False,
    ),
)


@dataclass(frozen=True)
class BareBlock:
    """number: of its layer in the model."""

    kind: Kind
    number: int
    module: Any

    @property
    def experts(self) -> int:
        return self.kind.experts(self.module)

    @property
    def top_k(self) -> int:
        return self.module.top_k

    @property
    def gating(self) -> dict[str, Any]:
        """The `Gating` of src/core/gating.ts, as the block's forward has it."""
        rule = {"score": "softmax", "chosenBy": "scores", "normalize": self.kind.normalize(self.module), "scale": 1.0}
        return {**rule, "selectionBias": False, "groups": None, "weighted": "outputs"}

    def mark(self, places: dict[str, Place | None]) -> None:
        """places: by stream; None stays silent."""
        wrap(self.kind, type(self.module))
        self.module._moescope_places = {stream: place for stream, place in places.items() if place is not None}
        for stream, place in self.module._moescope_places.items():
            self.module.register_buffer(f"_moescope_{stream}", place.anchor, persistent=False)


#: The block whose experts are chosen next: the function that chooses them is not told.
_block: Any = None


def bare_blocks(model: torch.nn.Module, layers: int) -> list[BareBlock]:
    """Of this process, in order; none for most models. layers: that the whole model has."""
    kinds = {(kind.module, kind.name): kind for kind in KINDS}
    found = []
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == layers:
            for number, layer in enumerate(module):
                for block in layer.modules():
                    kind = kinds.get((type(block).__module__, type(block).__name__))
                    if kind is not None and kind.is_moe(block):
                        found.append(BareBlock(kind, number, block))
    return found


def wrap(kind: Kind, cls: Any) -> None:
    """Gives the class its taps, once. Classes and modules are wrapped, not instances: torch.compile looks methods up there."""
    module = sys.modules[cls.__module__]
    run, choose = getattr(cls, kind.method), module.fused_topk
    if hasattr(choose, "moescope_wrapped"):
        return

    @functools.wraps(run)
    def run_block(self: Any, hidden_states: Any) -> Any:
        global _block
        _block = self
        return run(self, hidden_states)

    @functools.wraps(choose)
    def fused_topk(hidden_states: Any, gating_output: Any, *args: Any, **kwargs: Any) -> Any:
        chosen = choose(hidden_states, gating_output, *args, **kwargs)
        values = {ROUTER_LOGITS: gating_output, EXPERT_WEIGHTS: chosen[0], EXPERT_IDS: chosen[1]}
        for stream, place in _block._moescope_places.items():
            tap(place, getattr(_block, f"_moescope_{stream}"), values[stream])
        return chosen

    fused_topk.moescope_wrapped = True
    setattr(cls, kind.method, run_block)
    module.fused_topk = fused_topk
    cls._moescope_places = {}  # of a block that nobody marks
