"""What a capture asks for: which streams of which layers, and which rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .errors import CaptureError, shown
from .streams import ROUTED, STREAMS, parse_streams

PHASES = ("prompt", "generated")

#: What a plan may ask for at most. Samples cost memory when they begin only; a corpus of a million prompts is one capture. Positions are
#: kept one by one: more than a context has mean "all" or are a mistake.
MAX_SAMPLES, MAX_LAYERS, MAX_POSITIONS = 1 << 20, 1 << 12, 1 << 17

#: Whole numbers are below this: samples and positions are labels of 32 bits.
LARGEST = 1 << 31


@dataclass(frozen=True)
class Selection:
    """All conditions must hold. positions: sorted, without repeats; `last`: the last n of a sample that meet the others."""

    phase: str | None = None
    positions: tuple[int, ...] | None = None
    last: int | None = None

    @cached_property
    def _listed(self) -> np.ndarray:
        """The positions as int64 [n]."""
        return np.asarray(self.positions, dtype=np.int64)

    def matching(self, start: int, stop: int, prompt: int) -> np.ndarray:
        """Positions in [start, stop) of a sample with `prompt` prompt tokens that meet phase and positions; `last` is left out.

        int64, ascending."""
        if self.phase == "prompt":
            stop = min(stop, prompt)
        elif self.phase == "generated":
            start = max(start, prompt)
        if self.positions is None:
            return np.arange(start, max(start, stop), dtype=np.int64)
        low, high = np.searchsorted(self._listed, (start, stop))
        return self._listed[low:high]

    def holds(self, position: np.ndarray, prompt: np.ndarray) -> np.ndarray:
        """A mask of the rows that meet phase and positions; `last` is left out. prompt: prompt tokens of each row's sample."""
        mask = np.ones(len(position), dtype=bool)
        if self.phase is not None:
            mask &= (position < prompt) == (self.phase == "prompt")
        if self.positions is not None:
            mask &= np.isin(position, self._listed)
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
    """The `plan` of a message, which may be anything. Raises INVALID_ARGUMENT or UNKNOWN_STREAM."""
    try:
        if whole(samples) > MAX_SAMPLES:
            raise ValueError(f"{samples} samples; a capture has at most {MAX_SAMPLES}")
        entries = listed(member(raw, "streams"), len(STREAMS), "streams")
        streams = {text(member(entry, "name")): member(entry, "layers") for entry in entries}
        if len(streams) < len(entries):
            raise ValueError("a stream is named twice")
        layers = {name: numbers(given, MAX_LAYERS, f"layers of {shown(name)}") for name, given in streams.items()}
        select = member(raw, "select", {})
        phase, positions, last = (member(select, name, None) for name in ("phase", "positions", "last"))
        if phase is not None and phase not in PHASES:
            raise ValueError(f"unknown phase {shown(phase)}; the phases are {', '.join(PHASES)}")
        selection = Selection(
            phase=phase,
            positions=None if positions is None else numbers(positions, MAX_POSITIONS, "positions"),
            last=None if last is None else whole(last, least=1),
        )
    except (TypeError, ValueError) as error:
        raise CaptureError("INVALID_ARGUMENT", f"not a plan: {error}") from error
    parse_streams(layers)
    ordered = {name: layers[name] for name in STREAMS if layers.get(name)}
    return Plan(streams=ordered, select=selection, samples=samples)


def member(raw: Any, name: str, *default: Any) -> Any:
    """Of an object of JSON; the default stands for null, too. Raises ValueError."""
    if not isinstance(raw, dict):
        raise ValueError(f"{shown(raw)} is no object")
    if raw.get(name) is not None:
        return raw[name]
    if not default:
        raise ValueError(f'"{name}" is missing')
    return default[0]


def text(value: Any) -> str:
    """A string of JSON. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no text")
    return value


def listed(value: Any, most: int, what: str) -> list[Any]:
    """A list of JSON of at most `most` elements. Raises ValueError."""
    if not isinstance(value, list):
        raise ValueError(f"{what}: {shown(value)} is no list")
    if len(value) > most:
        raise ValueError(f"{what}: {len(value)} of them; there can be {most}")
    return value


def numbers(value: Any, most: int, what: str) -> tuple[int, ...]:
    """A list of whole numbers, sorted, each once. Raises ValueError."""
    for element in listed(value, most, what):
        if type(element) is not int or not 0 <= element < LARGEST:  # a bool is an int, too
            raise ValueError(f"{what}: {shown(element)} is not a whole number of at least 0")
    return tuple(np.unique(np.asarray(value, dtype=np.int64)).tolist())


def whole(value: Any, least: int = 0) -> int:
    """A whole number of JSON, `least` or more. Raises ValueError."""
    if type(value) is not int or not least <= value < LARGEST:
        raise ValueError(f"{shown(value)} is not a whole number of at least {least}")
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
