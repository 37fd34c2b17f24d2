"""What the next layer makes of what a layer returned, as far as running the model can prove it.

A layer that returns two tensors x and r hands on x + r if the next layer cannot tell (x, r) from (r, x), nor from (x + r, 0); it
hands on x if the next layer cannot tell r from anything else. What it does not need it must not react to, and what it needs it must
react to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from .chain import Chain, Pass
from .hidden import FIRST, SECOND, SUM, WHOLE

#: Largest difference, as a share of a row's largest value, of a row that is the same. Half precision rounds x + r.
SAME = {torch.float32: 1e-3, torch.float64: 1e-3}
SAME_IN_HALF = 3e-2
#: Share of rows that must be the same, or of which no more may be, so that two outputs are: a rounding may send a row to other experts.
MOST, FEW = 0.75, 0.25


@dataclass(frozen=True)
class Passes:
    """plain: x and r. odd, even: others in odd and even layers. swapped: r and x. other_r, other_x: one of them another. summed: x + r
    and nothing."""

    plain: Pass
    odd: Pass
    even: Pass
    swapped: Pass
    other_r: Pass
    other_x: Pass
    summed: Pass


def contracts_of(chain: Chain) -> dict[int, str]:
    """Layer -> contract of :mod:`hidden`. Always as many passes, so that processes that run them together stay together. Raises
    LookupError, with words, when a layer's hidden state cannot be proven."""
    chain.look()
    run = Maker(chain)
    passes = Passes(
        plain=run(lambda layer, x, r, *_: (x, r)),
        odd=run(lambda layer, x, r, other_x, other_r: (other_x, other_r) if layer % 2 else (x, r)),
        even=run(lambda layer, x, r, other_x, other_r: (x, r) if layer % 2 else (other_x, other_r)),
        swapped=run(lambda layer, x, r, *_: (r, x)),
        other_r=run(lambda layer, x, r, other_x, other_r: (x, other_r)),
        other_x=run(lambda layer, x, r, other_x, other_r: (other_x, r)),
        summed=run(lambda layer, x, r, *_: (x + r, torch.zeros_like(x))),
    )
    numbers = list(chain.forms)
    found = {}
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        if following is None and passes.plain.end_is_stage:
            found[number] = at_the_end_of_a_stage(found, chain, number)
        else:
            found[number] = contract_of(chain, passes, number, following)
    return found


class Maker:
    """Runs passes. choose: layer, x, r, other_x, other_r -> the two tensors the layer is said to have returned."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def __call__(self, choose: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> Pass:
        return self._chain.run(partial(self._put, choose))

    def _put(self, choose: Callable[..., tuple[torch.Tensor, torch.Tensor]], layer: int) -> tuple[torch.Tensor, ...]:
        if layer < 0:
            return self._chain.made_up(layer)
        x, r, other_x, other_r = (self._chain.random(layer, which) for which in range(4))
        chosen = choose(layer, x, r, other_x, other_r)
        if self._chain.forms[layer].is_pair:
            return chosen
        # Of one tensor there is nothing to exchange: only whether it matters, and whether anything else does.
        return (other_x if chosen[0] is other_x else x,)


def contract_of(chain: Chain, passes: Passes, number: int, following: int | None) -> str:
    form = chain.forms[number]
    tolerance = SAME.get(form.dtype, SAME_IN_HALF)

    def share(other: Pass) -> float:
        """Of rows that come out as in the plain pass."""
        before, after = (one.end if following is None else one.returned[following] for one in (passes.plain, other))
        return same_rows(before, after, chain.tokens, tolerance)

    unchanged = passes.even if number % 2 else passes.odd
    what = "the model's end" if following is None else f"layer {following}"
    if share(unchanged) < MOST:
        raise LookupError(f"{what} takes more from the layers before it than what layer {number} returned, or differs from run to run")
    needs_x, ignores_x = share(passes.other_x) <= FEW, share(passes.other_x) >= MOST
    needs_r, ignores_r = share(passes.other_r) <= FEW, share(passes.other_r) >= MOST
    if not form.is_pair:
        if needs_x:
            return WHOLE if form.parts == ((),) else FIRST
        raise LookupError(f"{what} does not react to what layer {number} returned")
    if needs_x and ignores_r:
        return FIRST
    if needs_r and ignores_x:
        return SECOND
    if needs_x and needs_r and share(passes.swapped) >= MOST and share(passes.summed) >= MOST:
        return SUM
    raise LookupError(f"layer {number} returns two tensors, and {what} neither adds them nor takes one of them")


def at_the_end_of_a_stage(found: dict[int, str], chain: Chain, number: int) -> str:
    """Another process has the layer that follows: the contract is the one that all other layers here have."""
    kinds = {(found[other], chain.forms[other]) for other in found}
    if len(kinds) == 1:
        contract, form = kinds.pop()
        if form == chain.forms[number]:
            return contract
    raise LookupError(
        f"layer {number} is the last of its pipeline stage, and the layers before it do not tell how it hands on its stream"
    )


def same_rows(before: list[torch.Tensor], after: list[torch.Tensor], tokens: int, tolerance: float) -> float:
    """Share of rows that are the same in all tensors, each [..., tokens, width]."""
    if [tensor.shape for tensor in before] != [tensor.shape for tensor in after] or not before:
        return 0.0
    same = torch.ones(tokens, dtype=torch.bool)
    for one, two in zip(before, after, strict=True):
        if one.dim() < 2 or one.shape[-2] != tokens:
            same &= bool(torch.equal(one, two))
            continue
        one, two = (tensor.float().movedim(-2, 0).reshape(tokens, -1) for tensor in (one, two))
        scale = one.abs().amax(-1).clamp(min=torch.finfo(torch.float32).tiny)
        same &= ((one - two).abs().amax(-1) / scale <= tolerance).cpu()
    return same.float().mean().item()
