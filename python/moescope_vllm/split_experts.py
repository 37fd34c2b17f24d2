"""Layers that send some tokens to one set of experts and the others to another: ERNIE-4.5-VL, text and images.

Each set is a MoE layer of vLLM's, which sees its own tokens only. Here both become one again, as the checkpoint has it: one row a
token; the second set's experts are numbered behind the first's; experts that a token could not go to have the logit -inf."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch

from .streams import EXPERT_IDS, ROUTER_LOGITS
from .taps import TAPS, Place

#: Class of the block -> its sets, in the order of the checkpoint, and which tokens go to the second one: a mask [tokens, 1] among the
#: block's arguments, None: none.
BLOCKS = {("vllm.model_executor.models.ernie45_vl_moe", "Ernie4_5_VLMoeMoE"): (("text_experts", "vision_experts"), "visual_token_mask")}


@dataclass(frozen=True)
class SplitBlock:
    """runners: vLLM's MoE layers of the two sets."""

    module: torch.nn.Module
    runners: tuple[Any, Any]
    number: int

    @property
    def experts(self) -> tuple[int, int]:
        first, second = (runner.moe_config.num_logical_experts for runner in self.runners)
        return first, second


def split_blocks(model: torch.nn.Module, runners: list[Any]) -> list[SplitBlock]:
    """Of this process; none for every other model. runners: vLLM's MoE layers."""
    found = []
    for module in model.modules():
        known = BLOCKS.get((type(module).__module__, type(module).__name__))
        sets = [getattr(module, name, None) for name in known[0]] if known else []
        if sets and all(any(part is runner for runner in runners) for part in sets):
            found.append(SplitBlock(module, tuple(sets), sets[0].layer_id))
    return found


class Part(Place):
    """What one set of experts says of a stream, until the whole block has."""

    def __init__(self, whole: Place, width: int) -> None:
        super().__init__(whole.stream, whole.layer, width, whole.anchor.device)
        self.value: torch.Tensor | None = None
        self.speaks = 0

    def saw(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> None:
        if TAPS.listening:
            self.value = x.clone()  # the kernel that gets it may write into it
            self.speaks += 1

    def take(self) -> torch.Tensor | None:
        if self.speaks > 1:
            raise LookupError(f"{self} passed a set's tap {self.speaks} times")
        return self.value

    def clear(self) -> None:
        self.value, self.speaks = None, 0


@dataclass(frozen=True)
class Joint:
    """A stream of a block: where its rows go, and its two parts. offset: added to the second set's expert ids."""

    place: Place
    parts: tuple[Part, Part]
    offset: int

    def deliver(self, mask: torch.Tensor | None, tokens: int) -> None:
        """mask: [tokens] bool, which tokens went to the second set; None: none did."""
        try:
            first, second = (part.take() for part in self.parts)
            self.place.saw(self._whole(first, second, mask, tokens))
        except Exception as error:  # noqa: BLE001
            TAPS.failed(self.place, error)
        finally:
            for part in self.parts:
                part.clear()

    def _whole(self, first: Any, second: Any, mask: torch.Tensor | None, tokens: int) -> torch.Tensor:
        if first is not None and second is not None and mask is not None:
            one, two = self._wide(first, 0), self._wide(second, 1)
            counts = [int((~mask).sum()), int(mask.sum())]
            if [one.shape[0], two.shape[0]] != counts:
                raise LookupError(f"{self.place} has {one.shape[0]} and {two.shape[0]} rows for {counts[0]} and {counts[1]} tokens")
            whole = torch.empty((tokens, one.shape[1]), dtype=one.dtype, device=one.device)
            whole[~mask], whole[mask] = one, two
            return whole
        if first is not None and second is None and (mask is None or not bool(mask.any())):
            return self._wide(first, 0)
        if second is not None and first is None and mask is not None and bool(mask.all()):
            return self._wide(second, 1)
        raise LookupError(f"{self.place}: nobody knows which tokens went to which experts")

    def _wide(self, x: torch.Tensor, which: int) -> torch.Tensor:
        """A set's rows as rows of the whole block."""
        if self.place.stream == ROUTER_LOGITS:
            others = torch.full((x.shape[0], self.parts[1 - which].width), float("-inf"), dtype=x.dtype, device=x.device)
            return torch.cat((others, x) if which else (x, others), -1)
        return x + self.offset if which and self.place.stream == EXPERT_IDS else x


def mark(block: SplitBlock, places: dict[str, Place]) -> dict[str, tuple[Part, Part]]:
    """places: the streams that speak. Returns each stream's places for the two sets, as their own taps take them."""
    wrap(type(block.module))
    joints, parts = [], {}
    for stream, place in places.items():
        widths = block.experts if stream == ROUTER_LOGITS else (place.width, place.width)
        parts[stream] = (Part(place, widths[0]), Part(place, widths[1]))
        joints.append(Joint(place, parts[stream], block.experts[0]))
    block.module._moescope_joints = joints
    return parts


def wrap(cls: Any) -> None:
    """Gives the class its tap, once."""
    original = cls.forward
    if hasattr(original, "moescope_wrapped"):
        return
    mask_name = BLOCKS[cls.__module__, cls.__name__][1]

    @functools.wraps(original)
    def forward(self: Any, hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
        out = original(self, hidden_states, *args, **kwargs)
        if self._moescope_joints and TAPS.listening:
            deliver(self._moescope_joints, hidden_states, args[0] if args else kwargs.get(mask_name))
        return out

    forward.moescope_wrapped = True
    cls.forward, cls._moescope_joints = forward, []


def deliver(joints: list[Joint], hidden_states: Any, mask: Any) -> None:
    tokens = hidden_states.numel() // hidden_states.shape[-1]
    for joint in joints:
        try:
            flat = None if mask is None else mask.reshape(-1).bool()
            if flat is not None and flat.shape[0] != tokens:
                raise LookupError(f"{joint.place}: a mask of {flat.shape[0]} tokens for {tokens}")
        except Exception as error:  # noqa: BLE001
            TAPS.failed(joint.place, error)
            continue
        joint.deliver(flat, tokens)
