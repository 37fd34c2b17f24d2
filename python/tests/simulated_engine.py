"""vLLM's scheduling as far as labels depend on it, with invented tokens in place of a model: chunked prompts, speculation with drafts that are
rejected, async scheduling, preemption, aborts. Imported by `test_schedules.py`.

The rules are those of `Scheduler.schedule`, `update_from_output`, `_preempt_request` and `AsyncScheduler` (vLLM 0.32). Positions on the device
and in the scheduler's head part under async speculation, as they do there."""

from __future__ import annotations

import random
import zlib
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from moescope_vllm.news import NEWS
from moescope_vllm.watch import Watch

STOP = 7


def drawn(tokens: list[int], salt: int) -> int:
    """What the model draws behind these tokens; a salt stands for the luck of sampling."""
    return zlib.crc32(repr((tokens, salt)).encode()) % 50


def value(tokens: list[int]) -> float:
    """A hidden state of the last of these tokens: it depends on all before it."""
    return float(zlib.crc32(repr(tokens).encode()) % (1 << 20))


@dataclass
class Settings:
    asynchronous: bool
    drafts: int
    budget: int = 16
    room: int = 10_000
    stop_token: int | None = None
    trims: bool = False


@dataclass(eq=False)
class Request:
    """The fields of vLLM's Request that the plugin reads, and what the scheduler keeps of it."""

    request_id: str
    prompt: list[int]
    max_tokens: int
    salt: int
    sampling_params: Any
    pooling_params: Any = None
    tokens: list[int] = field(default_factory=list)
    computed: int = 0
    placeholders: int = 0
    drafts: int = 0
    in_flight: int = 0
    stale: int = 0
    dropping: bool = False
    status: Any = None
    new: bool = True

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.prompt)

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)


@dataclass
class Device:
    """What the runner knows of a request: the tokens it has drawn itself, and how many it has computed for good."""

    tokens: list[int]
    computed: int


class SimulatedEngine:
    """recorder: what follows the steps, as the plugin's. rng: decides everything that is left open."""

    def __init__(self, settings: Settings, recorder: Any, spool: Any, rng: random.Random) -> None:
        self.settings = settings
        self.recorder = recorder
        self.watch = Watch(spool)
        self.rng = rng
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self.requests: dict[str, Request] = {}
        self.finished: set[str] = set()
        self.queue: deque[tuple[Any, dict[str, list[int]]]] = deque()
        self.devices: dict[str, Device] = {}
        self.done: dict[str, Request] = {}

    # -- from outside ----------------------------------------------------------------------------------------------------------------

    def add(self, name: str, prompt: list[int], max_tokens: int, arguments: dict[str, Any], salt: int = 0) -> None:
        params = SimpleNamespace(extra_args=arguments)
        request = Request(name, prompt, max_tokens, salt, params, tokens=list(prompt))
        self.watch.added(request)
        self.waiting.append(request)
        self.requests[name] = request

    def abort(self, name: str) -> None:
        if name in self.requests:
            self._end(self.requests[name], "FINISHED_ABORTED")

    def preempt(self, dropping: bool = False) -> None:
        if self.running:
            self._preempt(self.running.pop(), dropping)

    @property
    def busy(self) -> bool:
        return bool(self.requests or self.finished or self.queue)

    def step(self) -> None:
        if self.requests or self.finished:
            output = self._schedule()
            self.queue.append((output, self._run(output)))
        depth = 2 if self.settings.asynchronous else 1
        while len(self.queue) >= depth or (self.queue and not self.requests):
            self._update(*self.queue.popleft())

    # -- the scheduler ---------------------------------------------------------------------------------------------------------------

    def _schedule(self) -> Any:
        budget, scheduled, drafts, new, cached = self.settings.budget, {}, {}, [], []
        padded: set[str] = set()
        for request in self.running:
            if (
                request.placeholders > 0
                and request.computed + 2 - request.placeholders >= request.num_prompt_tokens + request.max_tokens
            ):
                continue
            count = min(request.num_tokens + request.drafts + request.placeholders - request.computed, budget)
            if count <= 0:
                continue
            cached.append((request, request.computed))
            scheduled[request] = count
            drafts[request] = max(0, count + request.computed - request.num_tokens - request.placeholders)
            request.drafts = 0
            budget -= count
        while self.waiting and budget > 0 and self._room():
            request = self.waiting[0]
            if request.stale and not request.dropping:
                break
            self.waiting.popleft()
            self.running.append(request)
            count = min(request.num_tokens - request.computed, budget)
            # A single token may be padded with drafts that nobody has made.
            single = request.num_tokens - request.computed == 1
            padding = self.settings.drafts if single and budget > self.settings.drafts and self.rng.random() < 0.5 else 0
            if padding:
                padded.add(request.request_id)
            (new if request.new else cached).append((request, request.computed))
            request.new = False
            scheduled[request] = count + padding
            drafts[request] = padding
            budget -= count
        for request, count in scheduled.items():
            request.computed += count
            request.in_flight += count
            if request.computed >= request.num_tokens + request.placeholders and self.settings.asynchronous:
                request.placeholders += 1 + drafts[request]
                request.drafts = self.rng.randint(0, self.settings.drafts)
        output = SimpleNamespace(
            scheduled_new_reqs=[
                SimpleNamespace(
                    req_id=request.request_id,
                    prompt_token_ids=request.prompt,
                    sampling_params=request.sampling_params,
                    pooling_params=None,
                    num_computed_tokens=start,
                )
                for request, start in new
            ],
            scheduled_cached_reqs=SimpleNamespace(
                req_ids=[request.request_id for request, _ in cached], num_computed_tokens=[start for _, start in cached]
            ),
            num_scheduled_tokens={request.request_id: count for request, count in scheduled.items()},
            total_num_scheduled_tokens=sum(scheduled.values()),
            finished_req_ids=self.finished,
            scheduled_spec_decode_tokens={request.request_id: [-1] * count for request, count in drafts.items() if count},
            drafts={request.request_id: count for request, count in drafts.items()},
            starts={request.request_id: start for request, start in [*new, *cached]},
            padded=padded,
        )
        self.finished = set()
        news = self.watch.news(output.num_scheduled_tokens, output.finished_req_ids)
        if news is not None:
            setattr(output, NEWS, news)
        return output

    def _room(self) -> bool:
        return sum(request.num_tokens for request in self.running) + self.waiting[0].num_tokens <= self.settings.room

    def _update(self, output: Any, drawn_tokens: dict[str, list[int]]) -> None:
        for name, count in output.num_scheduled_tokens.items():
            request = self.requests.get(name)
            if request is None:
                continue
            request.in_flight -= count
            stale = request.stale > 0
            if stale:
                request.stale -= count
                if request.dropping:
                    continue
            tokens = drawn_tokens[name]
            if output.drafts[name] and tokens:
                rejected = output.drafts[name] - (len(tokens) - 1)
                if not stale:
                    request.computed -= rejected if request.computed > 0 else 0
                    request.placeholders -= rejected if request.placeholders > 0 else 0
            for token in tokens:
                request.tokens.append(token)
                if not stale and self.settings.asynchronous:
                    request.placeholders -= 1
                generated = request.num_tokens - request.num_prompt_tokens
                if generated >= request.max_tokens or token == self.settings.stop_token:
                    self._end(request, "FINISHED_STOPPED")
                    break
            if tokens and not self.settings.asynchronous and name in self.requests:
                request.drafts = self.rng.randint(0, self.settings.drafts)
        while self.running and sum(request.num_tokens for request in self.running) > self.settings.room:
            self._preempt(self.running.pop(), False)

    def _preempt(self, request: Request, dropping: bool) -> None:
        request.computed = request.placeholders = request.drafts = 0
        request.dropping = dropping or (request.dropping and request.stale > 0)
        request.stale = request.in_flight
        if dropping:
            request.salt += 1000  # what is drawn again need not be the same
        self.waiting.appendleft(request)

    def _end(self, request: Request, status: str) -> None:
        request.status = SimpleNamespace(name=status)
        self.watch.freed(request)
        self.finished.add(request.request_id)
        del self.requests[request.request_id]
        self.done[request.request_id] = request
        if request in self.running:
            self.running.remove(request)
        if request in self.waiting:
            self.waiting.remove(request)

    # -- the runner ------------------------------------------------------------------------------------------------------------------

    def _run(self, output: Any) -> dict[str, list[int]]:
        """The tokens drawn. Rows of the step go to the recorder, in an order of their own."""
        self.recorder.before(output)
        order = list(output.num_scheduled_tokens)
        self.rng.shuffle(order)
        # A runner that drafts on the device leaves out drafts that came to nothing.
        left_out = {name: self.rng.randint(0, count) if self.settings.trims else 0 for name, count in output.drafts.items()}
        counts = {name: output.num_scheduled_tokens[name] - left_out[name] for name in order}
        self.recorder.batch(counts.items)
        positions, tokens, values, result = [], [], [], {}
        for name in order:
            request, start, count = self.requests[name], output.starts[name], counts[name]
            device = self.devices.get(name)
            fresh = device is None or start == 0
            if fresh:
                device = self.devices[name] = Device(list(request.tokens), 0)
            fed = device.computed if not fresh else start
            known = device.tokens[fed : fed + count]
            drafts = count - len(known)
            right = device.tokens[:]
            accepted = 0
            # Drafts: a few right ones, then one that is wrong.
            for _ in range(drafts):
                right.append(drawn(right, request.salt))
            fed_tokens = device.tokens + right[len(device.tokens) :]
            if drafts:
                accepted = 0 if name in output.padded else self.rng.randint(0, drafts)
                if accepted < drafts:
                    fed_tokens[len(device.tokens) + accepted] = 99
            for position in range(fed, fed + count):
                positions.append(position)
                tokens.append(fed_tokens[position])
                values.append(value(fed_tokens[: position + 1]))
            whole = fed + count >= len(device.tokens)
            new: list[int] = []
            if whole:
                sequence = device.tokens[:]
                for _ in range(accepted + 1):
                    new.append(drawn(sequence, request.salt))
                    sequence.append(new[-1])
                device.computed = len(device.tokens) + accepted
                device.tokens = sequence
            else:
                device.computed = fed + count
            result[name] = new
        self.recorder.ran(positions, tokens, values)
        return result
