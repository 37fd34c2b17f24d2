"""Mutants of the taps themselves: each must be refused when a model is loaded, and caught when it slips in later.

usage: python check_mutants.py

Later means: the capture ends with words, or its values are not transformers' any more, which is what the other checks look at.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import harness
import torch

from moescope_vllm import process
from moescope_vllm.errors import CaptureError
from moescope_vllm.moe_layers import moe_layers
from moescope_vllm.self_check import SelfCheck
from moescope_vllm.step import Step
from moescope_vllm.streams import STREAMS
from moescope_vllm.taps import TAPS, Place, Taps

#: What a mutated tap says instead of one value: any number of (place, x, residual).
Mutant = Callable[[Place, torch.Tensor, "torch.Tensor | None"], list[tuple[Place, torch.Tensor, "torch.Tensor | None"]]]

PROMPTS = [[(7 * i) % 250 + 20 for i in range(40)], list(range(30, 45)), list(range(100, 120))]
GENERATED = 3

#: Layer of the mutants that touch one.
LAYER = 1


def of_rows(change: Callable[[torch.Tensor], torch.Tensor]) -> Mutant:
    return lambda place, x, residual: [(place, change(x), None if residual is None else change(residual))]


def swapped_rows(x: torch.Tensor) -> torch.Tensor:
    order = list(range(len(x)))
    order[0], order[-1] = order[-1], order[0]
    return x[order]


def other_layer(place: Place, x: torch.Tensor, residual: torch.Tensor | None) -> list[Any]:
    """Layer 0 speaks for layer 1, and the other way round."""
    other = {0: 1, 1: 0}.get(place.layer, place.layer)
    return [(next(one for one in TAPS.places.values() if (one.stream, one.layer) == (place.stream, other)), x, residual)]


def one_layer(change: Mutant) -> Mutant:
    return lambda place, x, residual: change(place, x, residual) if place.layer == LAYER else [(place, x, residual)]


class Late:
    """What passed in the step before."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor | None]] = {}

    def __call__(self, place: Place, x: torch.Tensor, residual: torch.Tensor | None) -> list[Any]:
        key = place.stream, place.layer
        x, residual = x.clone(), None if residual is None else residual.clone()
        before = self._before.get(key, (x, residual))
        self._before[key] = (x, residual)
        return [(place, *before)]


MUTANTS: dict[str, Callable[[], Mutant]] = {
    "rows shifted by one": lambda: of_rows(lambda x: x.roll(1, 0)),
    "first and last row swapped": lambda: of_rows(swapped_rows),
    "last row dropped": lambda: of_rows(lambda x: x[:-1]),
    "last row doubled": lambda: of_rows(lambda x: torch.cat((x, x[-1:]))),
    "one row overwritten by its neighbour": lambda: of_rows(lambda x: torch.cat((x[1:2], x[1:])) if len(x) > 1 else x),
    "every row the first": lambda: of_rows(lambda x: x[:1].expand_as(x)),
    "columns shifted by one": lambda: of_rows(lambda x: x.roll(1, 1)),
    "last column dropped": lambda: of_rows(lambda x: x[:, :-1]),
    "two layers swapped": lambda: other_layer,
    "one layer silent": lambda: one_layer(lambda *_: []),
    "one layer twice": lambda: one_layer(lambda place, x, residual: [(place, x, residual)] * 2),
    "the step before": Late,
    "no residual": lambda: lambda place, x, residual: [(place, x, None)],
}


@contextlib.contextmanager
def mutated(stream: str, mutant: Mutant) -> Iterator[None]:
    original = Taps.saw

    def saw(self: Taps, place: Place, x: torch.Tensor, residual: torch.Tensor | None = None) -> None:
        for value in mutant(place, x, residual) if place.stream == stream else [(place, x, residual)]:
            original(self, *value)

    with mock.patch.object(Taps, "saw", saw):
        yield


def at_load(runner: Any, stream: str, mutant: Mutant) -> str:
    """What the check says of a model whose taps are mutated; empty when it lets them pass."""
    model = runner.get_model()
    moe = moe_layers(model, runner.vllm_config)
    places = process.mark(moe, set(STREAMS), next(model.parameters()).device)
    with mutated(stream, mutant):
        proof = SelfCheck(runner, model, moe, set(STREAMS)).run(places)
    return proof.refused.get(stream, "")


def later(llm: Any, expected: harness.Reference, what: str) -> str:
    """How a capture shows that something is wrong; empty when it does not."""
    try:
        got = harness.capture(llm, PROMPTS, GENERATED)
        for number, (prompt, sample, output) in enumerate(zip(PROMPTS, got.samples, got.outputs, strict=True)):
            tokens = [*prompt, *output[:-1]]
            differences = harness.check_sample(sample, expected.values(tokens), tokens, len(prompt), f"{what}, sample {number}")
            harness.judge(f"{what}, sample {number}", differences)
    except CaptureError as error:
        return f"capture ends: {error.message}"
    except AssertionError as error:
        return f"not transformers': {error}"
    return ""


def main() -> None:
    logging.getLogger("vllm.moescope").setLevel(logging.CRITICAL)  # says what ends, which is what is wanted here
    expected = harness.reference("qwen3_moe")
    llm = harness.load(expected.checkpoint)
    runner = llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker.model_runner
    assert not later(llm, expected, "no mutant"), "the taps are wrong as they are"
    survived = []
    for name, make in MUTANTS.items():
        for stream in STREAMS:
            if name == "no residual" and stream != "hidden_states":
                continue
            refused = at_load(runner, stream, make())
            # As it was loaded, without the mutant.
            assert not at_load(runner, stream, lambda place, x, residual: [(place, x, residual)])
            with mutated(stream, make()), contextlib.redirect_stdout(None):
                caught = later(llm, expected, name)
            print(f"{name}, {stream}: at load: {refused[:110] or 'PASSES'}; later: {caught[:110] or 'PASSES'}", flush=True)
            survived += [f"{name} ({stream}, {when})" for when, said in (("at load", refused), ("later", caught)) if not said]
    with mock.patch.object(Step, "_collect", reversed_layers(Step._collect)), contextlib.redirect_stdout(None):
        survived += [] if later(llm, expected, "layers in the wrong order") else ["layers in the wrong order"]
    assert not later(llm, expected, "no mutant again")
    assert not survived, f"mutants that nobody caught: {', '.join(survived)}"
    print("mutants: all caught", flush=True)


def reversed_layers(collect: Any) -> Any:
    return lambda self, number, stream, group: collect(self, number, stream, group)[::-1]


if __name__ == "__main__":
    main()
