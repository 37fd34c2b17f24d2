"""Runs a model's decoder layers one by one on made-up hidden states, to see what each makes of what the one before returned.

Every layer computes, and the pass replaces what it returned by tensors of its own before the next layer sees it. So each layer is asked
by itself: a difference does not grow from layer to layer."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Form:
    """How a layer returns its stream. parts: where its tensors lie in what was returned, () for the tensor itself. shape, dtype: of
    each."""

    parts: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def is_pair(self) -> bool:
        return len(self.parts) == 2


def form_of(out: Any, tokens: int, width: int) -> Form:
    """Raises LookupError for what holds no hidden states [tokens, width], with words."""
    allowed = ((tokens, width), (1, tokens, width))
    if isinstance(out, torch.Tensor):
        if tuple(out.shape) not in allowed:
            raise LookupError(
                f"returns a tensor {list(out.shape)} for {tokens} tokens of width {width}, several residual streams perhaps"
            )
        return Form(((),), tuple(out.shape), out.dtype)
    if not isinstance(out, (tuple, list)) or not out or not isinstance(out[0], torch.Tensor):
        raise LookupError(f"returns {described(out)}, in which nobody knows the hidden states")
    if tuple(out[0].shape) not in allowed:
        raise LookupError(f"returns {described(out)} for {tokens} tokens of width {width}, several residual streams perhaps")
    if all(part is None for part in out[1:]):
        return Form(((0,),), tuple(out[0].shape), out[0].dtype)
    second = out[1]
    if not isinstance(second, torch.Tensor) or (second.shape, second.dtype) != (out[0].shape, out[0].dtype):
        raise LookupError(f"returns {described(out)}, in which nobody knows the hidden states")
    return Form(((0,), (1,)), tuple(out[0].shape), out[0].dtype)


def described(out: Any) -> str:
    """For messages."""
    if isinstance(out, torch.Tensor):
        return f"a tensor {list(out.shape)}"
    if isinstance(out, (tuple, list)):
        return f"({', '.join(described(part) for part in out)})"
    return "nothing" if out is None else f"a {type(out).__name__}"


#: What a pass puts in the place of a layer's stream: the layer's number -> one tensor for each part of its form, float32 [tokens,
#: width].
Put = Callable[[int], tuple[torch.Tensor, ...]]


@dataclass
class Pass:
    """calls: layers in the order they ran. returned: what each returned. end: what the model returned. All copies, tensors only."""

    calls: list[int] = field(default_factory=list)
    returned: dict[int, list[torch.Tensor]] = field(default_factory=dict)
    end: list[torch.Tensor] = field(default_factory=list)
    end_is_stage: bool = False


class Chain:
    """layers: the model's decoder layers of this process, by number. step: runs the model once, eagerly, on `tokens` tokens."""

    def __init__(self, model: Any, layers: list[tuple[int, Any]], step: Callable[[], Any], tokens: int, width: int) -> None:
        self._model = model
        self.layers = layers
        self._step = step
        self.tokens = tokens
        self.width = width
        self.forms: dict[int, Form] = {}
        self._device = next(model.parameters()).device
        self._drawn: dict[tuple[int, int], torch.Tensor] = {}

    def look(self) -> Pass:
        """Runs the model as it is and notes each layer's form. Raises LookupError for what cannot be told."""
        raw: dict[int, Any] = {}
        seen = self._run(lambda number, out: raw.setdefault(number, out))
        numbers = [number for number, _ in self.layers]
        if seen.calls != numbers:
            raise LookupError(f"its decoder layers do not run once each, in their order: {seen.calls[:12]} of {len(numbers)}")
        for number, out in raw.items():
            try:
                self.forms[number] = form_of(out, self.tokens, self.width)
            except LookupError as error:
                layer = type(dict(self.layers)[number]).__name__
                raise LookupError(f"layer {number} ({layer}) {error}") from None
        return seen

    def run(self, put: Put) -> Pass:
        """put: a layer's number -> a tensor [tokens, width] for each part of its form."""
        return self._run(lambda number, out: replaced(out, self.forms[number], put(number)), put)

    def run_varied(self, step: int) -> Pass:
        """Runs the model on rows that all differ, whatever is known of its layers. step: others in each."""
        put = functools.partial(self.made_up, first=10 * step)
        return self.run(put) if self.forms else self._run(lambda _, out: out, put)

    def made_up(self, layer: int, first: int = 0) -> tuple[torch.Tensor, ...]:
        """Hidden states for the parts of a layer's form, the same in every process; -1 - layer: for its input."""
        parts = 1 if layer < 0 else len(self.forms[layer].parts)
        return tuple(self.random(layer, first + which) for which in range(parts))

    def random(self, layer: int, which: int) -> torch.Tensor:
        """float32 [tokens, width], standard normal, drawn once: not to be written into."""
        key = layer, which
        if key not in self._drawn:
            generator = torch.Generator().manual_seed(1_000_003 * (layer + 1_000) + which)
            self._drawn[key] = torch.randn(self.tokens, self.width, generator=generator).to(self._device)
        return self._drawn[key]

    def _run(self, change: Callable[[int, Any], Any], put: Put | None = None) -> Pass:
        seen = Pass()
        with contextlib.ExitStack() as stack:
            for index, (number, layer) in enumerate(self.layers):
                before = (lambda args: args) if index or put is None else self._made_up_input(put, number)
                stack.enter_context(forward_replaced(layer, self._layer(number, layer.forward, before, change, seen)))
            stack.enter_context(forward_replaced(self._model, self._end(self._model.forward, seen)))
            self._step()
        return seen

    def _layer(self, number: int, original: Any, before: Any, change: Any, seen: Pass) -> Any:
        def forward(*args: Any, **kwargs: Any) -> Any:
            out = original(*before(args), **before(kwargs))
            seen.calls.append(number)
            seen.returned[number] = copies(out)
            return change(number, out)

        return forward

    def _made_up_input(self, put: Put, number: int) -> Callable[[Any], Any]:
        """The first layer's own input: rows that differ, which a dummy step's do not."""

        def one(value: Any) -> Any:
            if isinstance(value, torch.Tensor) and value.is_floating_point() and tuple(value.shape)[-2:] == (self.tokens, self.width):
                return put(-1 - number)[0].to(value.device, value.dtype).expand(value.shape).clone()
            return value

        return lambda args: {key: one(value) for key, value in args.items()} if isinstance(args, dict) else tuple(map(one, args))

    def _end(self, original: Any, seen: Pass) -> Any:
        def forward(*args: Any, **kwargs: Any) -> Any:
            out = original(*args, **kwargs)
            seen.end, seen.end_is_stage = copies(out), type(out).__name__ == "IntermediateTensors"
            return out

        return forward


def replaced(out: Any, form: Form, tensors: tuple[torch.Tensor, ...]) -> Any:
    """What a layer returned, with other tensors in the places of its form."""
    like = out if isinstance(out, torch.Tensor) else out[0]
    fresh = [tensor.to(like.device, form.dtype, copy=True).view(form.shape) for tensor in tensors]
    if form.parts == ((),):
        return fresh[0]
    parts = list(out)
    for (index,), tensor in zip(form.parts, fresh, strict=False):
        parts[index] = tensor
    return type(out)(parts)


def copies(out: Any) -> list[torch.Tensor]:
    """The tensors of floating point in what a module returned, in order."""
    if isinstance(out, torch.Tensor):
        return [out.clone()] if out.is_floating_point() else []
    if isinstance(out, (tuple, list)):
        return [tensor for part in out for tensor in copies(part)]
    if isinstance(out, dict):
        return copies(list(out.values()))
    return copies(out.tensors) if isinstance(getattr(out, "tensors", None), dict) else []


@contextlib.contextmanager
def forward_replaced(module: Any, forward: Any) -> Iterator[None]:
    """A module's forward for a while; also those find it who call the module in another way than PyTorch."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


#: What makes tensors of memory as it was found: where their names lie.
_MAKERS = (
    *((torch, name) for name in ("empty", "empty_like", "empty_strided")),
    *((torch.Tensor, name) for name in ("new_empty", "new_empty_strided")),
)


@contextlib.contextmanager
def zeroed_memory() -> Iterator[None]:
    """New tensors hold zeros: attention that has no cache leaves its output as it found it, on a CPU for instance. Names are replaced
    instead of watching every operation (`TorchFunctionMode`), which takes as long as a layer of a large model."""
    before = [(owner, name, owner.__dict__.get(name)) for owner, name in _MAKERS]
    for owner, name in _MAKERS:
        setattr(owner, name, zeroed(getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, own in before:
            if own is None:  # inherited
                delattr(owner, name)
            else:
                setattr(owner, name, own)


def zeroed(maker: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @functools.wraps(maker)
    def made(*args: Any, **kwargs: Any) -> torch.Tensor:
        tensor = maker(*args, **kwargs)
        with contextlib.suppress(RuntimeError, NotImplementedError):  # not every type can
            tensor.zero_()
        return tensor

    return made


@contextlib.contextmanager
def eager(models: list[Any]) -> Iterator[None]:
    """The models run as they are written, for a while, not as torch.compile has or will have them."""
    undo = []
    for model in models:
        for module in model.modules():
            for name, value in (("do_not_compile", True), ("_compiled_call_impl", None)):
                old = module.__dict__.get(name)
                if name in module.__dict__ and old != value:
                    undo.append((module, name, old))
                    module.__dict__[name] = value
    try:
        with zeroed_memory():
            yield
    finally:
        for module, name, old in undo:
            module.__dict__[name] = old
