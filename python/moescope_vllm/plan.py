"""What a capture asks for: which streams of which layers, and which rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import CaptureError
from .streams import ROUTED, STREAMS, parse_streams

PHASES = ("prompt", "generated")


@dataclass(frozen=True)
class Selection:
    """All conditions must hold. positions: sorted, without repeats; `last`: the last n of a sample that meet the others."""

    phase: str | None = None
    positions: tuple[int, ...] | None = None
    last: int | None = None

    def matching(self, start: int, stop: int, prompt: int) -> np.ndarray:
        """Positions in [start, stop) of a sample with `prompt` prompt tokens that meet phase and positions; `last` is left out.

        int64, ascending."""
        if self.phase == "prompt":
            stop = min(stop, prompt)
        elif self.phase == "generated":
            start = max(start, prompt)
        if self.positions is None:
            return np.arange(start, max(start, stop), dtype=np.int64)
        low, high = bisect_left(self.positions, start), bisect_left(self.positions, stop)
        return np.asarray(self.positions[low:high], dtype=np.int64)

    def holds(self, position: np.ndarray, prompt: np.ndarray) -> np.ndarray:
        """A mask of the rows that meet phase and positions; `last` is left out. prompt: prompt tokens of each row's sample."""
        mask = np.ones(len(position), dtype=bool)
        if self.phase is not None:
            mask &= (position < prompt) == (self.phase == "prompt")
        if self.positions is not None:
            mask &= np.isin(position, self.positions)
        return mask

    def count(self, tokens: int, prompt: int) -> int:
        """Rows of a whole sample of `tokens` tokens, `last` included."""
        matching = len(self.matching(0, tokens, prompt))
        return matching if self.last is None else min(matching, self.last)

    def first(self, prompt: int) -> int:
        """No row before this position is ever wanted. A sample has at least its prompt's rows, so that the last n of them are known
        to lie in the prompt's last n or behind."""
        if self.last is None:
            return 0
        if self.phase == "generated":
            return prompt
        candidates = self.matching(0, prompt, prompt)
        return int(candidates[-self.last]) if len(candidates) >= self.last else 0


@dataclass(frozen=True)
class Plan:
    """streams: name to layers, ascending; streams without layers are left out. samples: how many requests belong to it."""

    streams: Mapping[str, tuple[int, ...]]
    select: Selection
    samples: int

    def wire(self) -> dict[str, Any]:
        return {
            "streams": [{"name": name, "layers": list(layers)} for name, layers in self.streams.items()],
            "select": {
                "phase": self.select.phase,
                "positions": None if self.select.positions is None else list(self.select.positions),
                "last": self.select.last,
            },
            "samples": self.samples,
        }


def parse_plan(raw: Any, samples: int) -> Plan:
    """The `plan` of a message. Raises INVALID_ARGUMENT or UNKNOWN_STREAM."""
    try:
        streams = {str(entry["name"]): tuple(sorted({whole(layer) for layer in entry["layers"]})) for entry in raw["streams"]}
        select = raw.get("select") or {}
        phase, positions, last = select.get("phase"), select.get("positions"), select.get("last")
        if phase is not None and phase not in PHASES:
            raise CaptureError("INVALID_ARGUMENT", f'unknown phase "{phase}"; the phases are {", ".join(PHASES)}')
        selection = Selection(
            phase=phase,
            positions=None if positions is None else tuple(sorted({whole(position) for position in positions})),
            last=None if last is None else whole(last, least=1),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaptureError("INVALID_ARGUMENT", f"not a plan: {type(error).__name__}: {error}") from error
    parse_streams(streams)
    ordered = {name: streams[name] for name in STREAMS if streams.get(name)}
    return Plan(streams=ordered, select=selection, samples=samples)


def whole(value: Any, least: int = 0) -> int:
    """A whole number of JSON, `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 31:
        raise ValueError(f"{value!r} is not a whole number of at least {least}")
    return value


def check_plan(plan: Plan, available: Mapping[str, Any], refused: Mapping[str, str]) -> None:
    """`available`: the streams of a model, name to {"layers", ...}. refused: others, each with why. Raises UNKNOWN_STREAM or UNKNOWN_LAYER."""
    for name, layers in plan.streams.items():
        if name not in available:
            absent = "the model has no MoE layers this engine can read" if name in ROUTED else "it is not switched on for this process"
            why = refused.get(name, absent)
            raise CaptureError("UNKNOWN_STREAM", f"{name} is not available: {why}")
        has = available[name]["layers"]
        absent = sorted(set(layers) - set(has))
        if absent:
            raise CaptureError("UNKNOWN_LAYER", f"layer {absent[0]} has no {name}; the layers that have it are {has}")
